package index

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/transform"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/text"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// Bounds of lines, in bytes.
const (
	maxLine  = 256 << 10 // longer ones are searched in pieces
	maxShown = 400       // of a line, around the match
)

// lines reads the lines of a text in whatever encoding.
type lines struct {
	*bufio.Reader
	grams *collector // takes what is read; may be nil
}

// reader returns the lines of a file, or text.ErrBinary.
func (s *search) reader(body io.Reader) (lines, error) {
	raw := bufio.NewReaderSize(body, text.Sample)
	head, err := raw.Peek(text.Sample)
	if err != nil && !errors.Is(err, io.EOF) {
		return lines{}, err
	}
	form, err := text.Detect(head, err != nil)
	if err != nil {
		return lines{}, err
	}
	if _, err := raw.Discard(form.BOM); err != nil {
		return lines{}, err
	}
	var decoded io.Reader = raw
	if form.Name != "utf-8" {
		decoded = transform.NewReader(raw, form.Decoder())
	}
	return lines{Reader: bufio.NewReaderSize(decoded, 64<<10)}, nil
}

// next reads a line, without its end. A line that is too long comes in pieces, of which whole is false but for the last.
func (r lines) next(buf []byte) (line []byte, whole bool, err error) {
	line = buf[:0]
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return trimEnd(line), true, nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, true, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		case len(line) >= maxLine:
			return line, false, nil
		}
	}
}

func trimEnd(line []byte) []byte {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

// scan finds the matches of one text. Those whose lines after are not complete yet wait.
func (s *search) scan(ctx context.Context, r lines, info volume.Info, after int) error {
	var waiting []Match
	var before []string
	for n := 1; ; {
		line, whole, err := r.next(s.lines)
		if errors.Is(err, io.EOF) {
			return s.flush(waiting)
		}
		if err == nil && n%1024 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		s.lines = line
		content := string(line)
		if r.grams != nil {
			r.grams.add(content)
		}
		if waiting, err = s.feed(waiting, content); err != nil {
			return err
		}
		if start, end := s.matcher.find(content); start >= 0 && n > after {
			waiting = append(waiting, Match{Info: info, Line: n, Text: clip(content, start, end), Before: append([]string(nil), before...)})
			if s.q.Context == 0 {
				err, waiting = s.flush(waiting), nil
			}
		}
		if err != nil {
			return err
		}
		before = s.remember(before, content)
		if whole {
			n++
		}
	}
}

// feed gives a line to the matches that wait for lines after them, and hands over those that have enough.
func (s *search) feed(waiting []Match, line string) ([]Match, error) {
	for i := range waiting {
		waiting[i].After = append(waiting[i].After, clip(line, 0, 0))
	}
	for len(waiting) > 0 && len(waiting[0].After) >= s.q.Context {
		if err := s.give(waiting[0]); err != nil {
			return nil, err
		}
		waiting = waiting[1:]
	}
	return waiting, nil
}

func (s *search) flush(waiting []Match) error {
	for _, m := range waiting {
		if err := s.give(m); err != nil {
			return err
		}
	}
	return nil
}

// remember keeps the last lines.
func (s *search) remember(before []string, line string) []string {
	if s.q.Context == 0 {
		return nil
	}
	if before = append(before, clip(line, 0, 0)); len(before) > s.q.Context {
		before = before[1:]
	}
	return before
}

// clip shortens a line to what is around start.
func clip(line string, start, end int) string {
	line = strings.ToValidUTF8(line, "\uFFFD")
	if len(line) <= maxShown {
		return line
	}
	from := max(0, min(start, start-(maxShown-(end-start))/2))
	from = min(from, len(line)-maxShown)
	to := from + maxShown
	for from > 0 && !utf8.RuneStart(line[from]) {
		from++
	}
	for to < len(line) && !utf8.RuneStart(line[to]) {
		to--
	}
	return line[from:to]
}
