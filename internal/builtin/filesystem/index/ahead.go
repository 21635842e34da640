package index

import (
	"bytes"
	"cmp"
	"context"
	"io"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// defaultAhead is Options.Ahead when that is 0.
const defaultAhead = 16 << 20

// A turn is a file that is to be looked at. Its turn comes after those of all files before it, whichever is read first.
type turn struct {
	info  volume.Info
	after int  // line
	learn bool // its signature is not known
	held  int64

	ready chan struct{} // closed when file and err are there
	file  opened
	err   error

	// What counts once its turn is over, of all entries until the next turn.
	next    Position
	skipped int
}

// opened is a file that is open, with what is to be searched of it. The zero value is none.
type opened struct {
	volume.File
	body io.ReadCloser
}

func (o opened) close() {
	if o.File != nil {
		_ = o.body.Close()
		_ = o.File.Close()
	}
}

// open opens a file, and reads it when it has no more bytes than may be held.
func (s *search) open(ctx context.Context, info volume.Info, hold int64) (opened, error) {
	f, err := s.index.volume.Open(ctx, info.Key)
	if err != nil {
		return opened{}, err
	}
	length := min(s.index.o.MaxFile, f.Info().Size)
	body, err := f.Range(ctx, 0, length)
	if err != nil {
		_ = f.Close()
		return opened{}, err
	}
	o := opened{f, body}
	if length > hold {
		return o, nil
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(body, data); err != nil {
		o.close()
		return opened{}, err
	}
	_ = body.Close()
	o.body = io.NopCloser(bytes.NewReader(data))
	return o, nil
}

// look looks at a file now, or in its turn when several are read at a time.
func (s *search) look(ctx context.Context, t *turn) error {
	most := s.index.o.AtOnce
	if most <= 1 {
		t.file, t.err = s.open(ctx, t.info, 0)
		return s.through(ctx, t)
	}
	for len(s.turns) >= most {
		if err := s.first(ctx); err != nil {
			return err
		}
	}
	if size := min(t.info.Size, s.index.o.MaxFile); s.held+size <= cmp.Or(s.index.o.Ahead, defaultAhead) {
		t.held, s.held = size, s.held+size
	}
	t.ready = make(chan struct{})
	s.turns = append(s.turns, t)
	s.readers.Go(func() {
		defer close(t.ready)
		t.file, t.err = s.open(ctx, t.info, t.held)
	})
	return nil
}

// first waits for the file whose turn it is, and looks through it.
func (s *search) first(ctx context.Context) error {
	t := s.turns[0]
	select {
	case <-t.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.turns, s.held = s.turns[1:], s.held-t.held
	if err := s.through(ctx, t); err != nil {
		return err
	}
	s.out.Next, s.out.Skipped = t.next, s.out.Skipped+t.skipped
	return nil
}

// all looks at the files whose turn has not come yet.
func (s *search) all(ctx context.Context) error {
	for len(s.turns) > 0 {
		if err := s.first(ctx); err != nil {
			return err
		}
	}
	return nil
}

// late ends a search whose time is over, after what has been read already and so much that the next one begins later.
func (s *search) late(ctx context.Context) error {
	for len(s.turns) > 0 && (s.turns[0].come() || s.out.Next == s.q.After) {
		if err := s.first(ctx); err != nil {
			return err
		}
	}
	s.out.More = true
	return errStop
}

func (t *turn) come() bool {
	select {
	case <-t.ready:
		return true
	default:
		return false
	}
}

// reach says how far the search has come, unless there are files before that whose turn has not come yet.
func (s *search) reach(p Position, skipped int) {
	next, count := &s.out.Next, &s.out.Skipped
	if n := len(s.turns); n > 0 {
		next, count = &s.turns[n-1].next, &s.turns[n-1].skipped
	}
	*next, *count = p, *count+skipped
}

// end waits for what is still being read, whose context has ended, and closes it.
func (s *search) end() {
	s.readers.Wait()
	for _, t := range s.turns {
		t.file.close()
	}
}
