package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"github.com/dragoman-mcp/dragoman/internal/plaintext"
)

// screen is where a command writes: data to out, and everything that is said
// about it to err.
type screen struct {
	out, err   io.Writer
	outTTY     bool
	errTTY     bool
	width      int  // cells of a line of out; 0 when nobody looks, so that nothing is cut
	colour     bool // of out
	errColour  bool
	animations bool // err can be written over
}

func newScreen(out, err io.Writer) *screen {
	s := &screen{out: out, err: err, outTTY: isTerminal(out), errTTY: isTerminal(err)}
	s.width = columns(out, s.outTTY)
	s.colour, s.errColour = mayColour(s.outTTY), mayColour(s.errTTY)
	s.animations = s.errTTY && os.Getenv("TERM") != "dumb"
	return s
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columns is the width of a terminal; COLUMNS wins.
func columns(out io.Writer, tty bool) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	f, ok := out.(*os.File)
	if !ok || !tty {
		return 0
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		return n
	}
	return 80
}

// mayColour follows NO_COLOR (no-color.org), CLICOLOR_FORCE and TERM=dumb.
func mayColour(tty bool) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return tty && os.Getenv("TERM") != "dumb"
}

// The colours that are used, as SGR codes.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func paint(on bool, code, text string) string {
	if !on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// say writes a line about what happens.
func (s *screen) say(format string, args ...any) {
	fmt.Fprintf(s.err, format+"\n", args...)
}

// hint writes a line that only a person at a terminal has use for.
func (s *screen) hint(format string, args ...any) {
	if s.errTTY {
		fmt.Fprintln(s.err, paint(s.errColour, dim, fmt.Sprintf(format, args...)))
	}
}

// harmless makes text of others fit for a terminal, and for eyes: control
// characters, which could move the cursor or rewrite what was shown, and all
// else that nobody sees are shown as escapes.
func harmless(text string) string {
	text = plaintext.Escape(strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\r\n", "\n"))
	return strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`).Replace(text)
}

// oneLine is text on a line of its own: white space becomes single spaces.
func oneLine(text string) string { return harmless(strings.Join(strings.Fields(text), " ")) }

// cells is how much room a text takes on a line.
func cells(text string) int {
	n := 0
	for _, r := range text {
		n += cellsOf(r)
	}
	return n
}

func cellsOf(r rune) int {
	if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) || unicode.Is(unicode.Cf, r) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a text to most cells, with an ellipsis in place of what is gone.
func cut(text string, most int) string {
	if most <= 0 || cells(text) <= most {
		return text
	}
	n := 0
	for i, r := range text {
		if n+cellsOf(r) > most-1 {
			return strings.TrimRight(text[:i], " ,;:.") + "…"
		}
		n += cellsOf(r)
	}
	return text
}
