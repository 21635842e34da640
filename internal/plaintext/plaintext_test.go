package plaintext_test

import (
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/plaintext"
)

func TestWhatNobodySeesIsTakenOut(t *testing.T) {
	for _, c := range []struct{ name, in, want, found string }{
		{"tags spell an instruction", "Adds.\U000e0049\U000e0067\U000e006e", "Adds.", "3 tag characters"},
		{"tags behind a flag that is none", "\U0001f3f4\U000e0072\U000e006d\U000e007f", "\U0001f3f4", "3 tag characters"},
		{"a flag whose end is missing", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067", "\U0001f3f4", "5 tag characters"},
		{"direction is turned", "file\u202egnp.exe\u202c \u2066a\u2069\u200f\u061c", "filegnp.exe a", "4 direction controls, 2 direction marks"},
		{"deprecated format characters", "a\u206a\u206fb", "ab", "2 direction controls"},
		{"spaces without width", "ig\u200bnore\u2060 \ufeffthis\u00ad", "ignore this", "3 zero-width characters, 1 soft hyphen"},
		{"bits as invisible operators", "\u2062\u2064\u2062\u2062x", "x", "4 zero-width characters"},
		{"fillers that show nothing", "\u3164\u115f\u1160\uffa0\u180e", "", "5 zero-width characters"},
		{"joiners between Latin letters", "pass\u200cwo\u200drd", "password", "2 zero-width characters"},
		{"a second joiner", "می\u200c\u200cخواهم", "می\u200cخواهم", "1 zero-width character"},
		{"a joiner behind an emoji with nothing to join", "\U0001f468\u200d!", "\U0001f468!", "1 zero-width character"},
		{"bytes in selectors", "\U0001f600\ufe0f\ufe01\ufe02\U000e0100\U000e01ef", "\U0001f600\ufe0f", "4 variation selectors"},
		{"selectors behind letters", "a\ufe00b\ufe0fc\ufe0e", "abc", "3 variation selectors"},
		{"a selector behind a digit that is no key", "1\ufe0f2", "12", "1 variation selector"},
		{"forms of ideographs", "葛\U000e0100城", "葛城", "1 variation selector"},
		{"private planes and noncharacters", "a\U000f0041\U00100042\ufffe\ufdd0\U0001ffff", "a", "5 characters without meaning"},
		{"interlinear annotations", "\ufff9base\ufffahidden\ufffb", "basehidden", "3 characters without meaning"},
		{"control characters", "a\x00b\x07c\x7fd\u0084", "abcd", "4 control characters"},
		{"line ends that terminals write over", "pay 1\rpay 9\r\nnext\fpage\vline\u0085end", "pay 1\npay 9\r\nnext\npage\nline\nend", "4 foreign line ends"},
		{"bytes that are not UTF-8", "a\xffb\xc3", "ab", "2 bytes that are not UTF-8"},
	} {
		got, found := plaintext.Clean(c.in)
		if got != c.want || found.String() != c.found {
			t.Errorf("%s: Clean(%+q) = %+q (%s), want %+q (%s)", c.name, c.in, got, found, c.want, c.found)
		}
		if !plaintext.Hides(c.in) || plaintext.Hides(got) {
			t.Errorf("%s: Hides(%+q) = %t, of the result %t", c.name, c.in, plaintext.Hides(c.in), plaintext.Hides(got))
		}
	}
}

func TestSequencesThatSteerTerminalsGoAsAWhole(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"colours", "\x1b[31mred\x1b[0m", "red"},
		{"hidden text", "see\x1b[8mnot\x1b[28m this", "seenot this"},
		{"the cursor is moved and the line wiped", "a\x1b[1A\x1b[2K\rb", "a\nb"},
		{"the screen is cleared", "\x1b[2J\x1b[1;1Hhello", "hello"},
		{"a link", "\x1b]8;;https://evil.example/\x1b\\docs\x1b]8;;\x1b\\", "docs"},
		{"the title, ended by a bell", "\x1b]0;owned\x07text", "text"},
		{"the clipboard, with characters of eight bits", "\u009d52;c;cm0gLXJm\u009ctext", "text"},
		{"a control sequence of eight bits", "\u009b31mred", "red"},
		{"a device control string", "\x1bPq#0\x1b\\x", "x"},
		{"a reset, a charset, a keypad", "\x1bc\x1b(0\x1b=x", "x"},
		{"a string without an end hides nothing", "\x1b]0;all of this stays", "0;all of this stays"},
		{"a string that another breaks off", "\x1b]0;x\x1b[31my\x07", "0;xy"},
		{"a control sequence that breaks off", "\x1b[31é", "31é"},
		{"one within another", "\x1b[\x1b[31m31mx", "31mx"},
		{"escape at the end", "x\x1b", "x"},
		{"escape before a letter of another script", "\x1bж", "ж"},
	} {
		if got, _ := plaintext.Clean(c.in); got != c.want {
			t.Errorf("%s: Clean(%+q) = %+q, want %+q", c.name, c.in, got, c.want)
		}
	}
}

func TestWhatIsPlainToSeeComesBackAsItIs(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                       "",
		"ASCII with tabs and lines":     "Reads a file.\n\tArgs:\r\n\t- path",
		"Western letters":               "Größe, naïve, São Paulo, Łódź, “quoted” – and so on…",
		"Cyrillic, Greek, Georgian":     "Привет, Γειά, გამარჯობა",
		"Hebrew and Arabic":             "שלום עולם، السلام عليكم",
		"Persian with joiners":          "نمی\u200cدانم کتاب\u200cها ه\u200d",
		"Hindi, Marathi with joiners":   "क\u094d\u200dष क\u094d\u200cष र\u094d\u200dय",
		"Sinhala, Malayalam, Bengali":   "ශ\u0dca\u200dරී ല\u0d4d\u200d র\u200d\u09cdয",
		"Mongolian with its selectors":  "ᠠ\u180b ᠭ\u180c",
		"Chinese, Japanese, Korean":     "读取文件。ファイルを読む。파일을 읽습니다",
		"Thai, Khmer, Burmese":          "อ่านไฟล์ អាន ဖိုင်",
		"wide and narrow spaces":        "a\u00a0b\u202fc\u2009d\u3000e",
		"accents written separately":    "e\u0301 n\u0303 Z\u0351\u036b\u0343",
		"pictures in text form":         "☎\ufe0e ✔\ufe0e ©\ufe0f ™\ufe0f",
		"emoji newer than our tables":   "\U0001fae9 \U0001f426\u200d\U0001f525 \U0001f642\u200d\u2194\ufe0f \U0001f6b6\u200d\u27a1\ufe0f \u26d3\ufe0f\u200d\U0001f4a5",
		"mathematics with a form":       "a \u2229\ufe00 b",
		"icons of the private use area": "\ue0b0 \uf8ff",
		"a replacement character":       "a\ufffdb",
	} {
		if got, found := plaintext.Clean(text); got != text || found.Any() {
			t.Errorf("%s: Clean(%+q) = %+q (%s)", name, text, got, found)
		}
		if got := plaintext.Escape(text); got != text {
			t.Errorf("%s: Escape(%+q) = %+q", name, text, got)
		}
	}
}

func TestWhatIsHiddenCanBeShownAsEscapes(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"a\x1b[31mred", `a\x1b[31mred`},
		{"x\u202ey", `x\u202ey`},
		{"\U000e0041", `\U000e0041`},
		{"\xff\x00", `\xff\x00`},
		{"one\rtwo", `one\rtwo`},
		{"\U0001f468\u200d\U0001f469 \u200d", "\U0001f468\u200d\U0001f469 " + `\u200d`},
	} {
		if got := plaintext.Escape(c.in); got != c.want {
			t.Errorf("Escape(%+q) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestTextsAreCutToTheirBound(t *testing.T) {
	long := strings.Repeat("é", 100)
	got, found := plaintext.Cut(long, 101)
	if len(got) > 101 || !strings.HasSuffix(got, " … (cut here: too long)") || found.Cut != 1 {
		t.Errorf("Cut = %q of %d bytes (%s)", got, len(got), found)
	}
	for _, most := range []int{0, 200, 5} {
		if got, found := plaintext.Cut(long, most); got != long || found.Any() {
			t.Errorf("Cut to %d = %d bytes (%s), want it whole", most, len(got), found)
		}
	}
}
