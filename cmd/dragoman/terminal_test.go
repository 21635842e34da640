package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTextOfOthersCannotMoveTheCursor(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain text stays", "a b\tc\nd é 漢", "a b\tc\nd é 漢"},
		{"an escape sequence is shown", "a\x1b[2Jb", `a\x1b[2Jb`},
		{"a carriage return is shown", "good\rbad", `good\rbad`},
		{"line ends of Windows are line ends", "a\x1b\r\nb", "a\\x1b\nb"},
		{"C1 controls are shown", "a\u009bb", `a\u009bb`},
		{"a change of direction is shown", "a\u202eb", `a\u202eb`},
		{"bytes that are no text are shown", "a\xffb", "a\ufffdb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := harmless(test.text); got != test.want {
				t.Errorf("harmless(%q) = %q, want %q", test.text, got, test.want)
			}
		})
	}
}

func TestTextIsCutByCells(t *testing.T) {
	tests := []struct {
		text string
		most int
		want string
	}{
		{"short", 10, "short"},
		{"as long as it may be", 0, "as long as it may be"},
		{"one two three", 8, "one two…"},
		{"one two, three", 9, "one two…"},
		{"漢字かな", 5, "漢字…"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"🔍 search", 4, "🔍…"},
	}
	for _, test := range tests {
		got := cut(test.text, test.most)
		if got != test.want {
			t.Errorf("cut(%q, %d) = %q, want %q", test.text, test.most, got, test.want)
		}
		if test.most > 0 && cells(got) > test.most {
			t.Errorf("cut(%q, %d) takes %d cells", test.text, test.most, cells(got))
		}
	}
}

func TestTextIsWrapped(t *testing.T) {
	tests := []struct {
		text string
		room int
		want string
	}{
		{"one two three four", 9, "one two|three|four"},
		{"one two", 0, "one two"},
		{"a /very/long/path/to/something b", 12, "a|/very/long/|path/to/|something b"},
		{"x abcdefghijkl", 5, "x|abcde|fghij|kl"},
	}
	for _, test := range tests {
		if got := strings.Join(wrap(test.text, test.room), "|"); got != test.want {
			t.Errorf("wrap(%q, %d) = %s, want %s", test.text, test.room, got, test.want)
		}
	}
}

func TestATableFitsTheTerminal(t *testing.T) {
	list := table{head: []string{"NAME", "KIND", "ABOUT"}}
	list.add("a", "x", "short")
	list.add("a_name_that_is_longer_than_its_column", "yy", "a long description that goes on and on")
	tests := []struct {
		name  string
		width int
		want  string
	}{
		{"in a terminal", 40, "" +
			"NAME              KIND  ABOUT\n" +
			"a                 x     short\n" +
			"a_name_that_is_longer_than_its_column\n" +
			"                  yy    a long descript…\n"},
		{"in a pipe", 0, "" +
			"NAME                                   KIND  ABOUT\n" +
			"a                                      x     short\n" +
			"a_name_that_is_longer_than_its_column  yy    a long description that goes on and on\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			list.write(&out, &screen{width: test.width})
			if got := out.String(); got != strings.ReplaceAll(test.want, "a long descript…", cut("a long description that goes on and on", max(test.width-24, 20))) {
				t.Errorf("width %d: got\n%swant\n%s", test.width, got, test.want)
			}
		})
	}
}

func TestColoursFollowTheEnvironment(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		tty  bool
		want bool
	}{
		{"a terminal has colours", nil, true, true},
		{"a pipe has none", nil, false, false},
		{"NO_COLOR wins over all", map[string]string{"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, true, false},
		{"CLICOLOR_FORCE colours a pipe", map[string]string{"CLICOLOR_FORCE": "1"}, false, true},
		{"CLICOLOR_FORCE=0 forces nothing", map[string]string{"CLICOLOR_FORCE": "0"}, false, false},
		{"a dumb terminal has none", map[string]string{"TERM": "dumb"}, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"NO_COLOR", "CLICOLOR_FORCE", "TERM"} {
				t.Setenv(name, test.env[name])
			}
			if got := mayColour(test.tty); got != test.want {
				t.Errorf("mayColour(%v) = %v with %v, want %v", test.tty, got, test.env, test.want)
			}
		})
	}
	if got := paint(true, red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("paint = %q", got)
	}
	if got := paint(false, red, "x"); got != "x" {
		t.Errorf("paint without colours = %q", got)
	}
}

func TestProgressIsOneLineThatIsWrittenOver(t *testing.T) {
	t.Setenv("COLUMNS", "30")
	var out bytes.Buffer
	p := &progress{screen: &screen{err: &out, animations: true}}
	p.show("a\x1bb, and much more than fits on a line")
	p.show("second")
	p.stop()
	p.show("too late")
	want := `a\x1bb, and much more than f…` + "\r\x1b[Ksecond\r\x1b[K"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	silent := &progress{screen: &screen{err: &out}}
	silent.show("nobody looks")
	if out.Len() > 0 {
		t.Errorf("without a terminal got %q, want nothing", out.String())
	}
}
