// Package index searches a volume by name and by content. It remembers which trigrams each file has, so that a later
// search opens only files that may match; and since it looks at every file's version on the way, what it finds is never
// older than the search. It does not know who searches.
//
// What it remembers are signatures (see there) in memory, within a bound. Files for which there is no room are read each
// time. Nothing is kept on disk.
package index

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/text"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// Options bound an index.
type Options struct {
	Bytes   int   // memory for signatures
	MaxFile int64 // larger files are not searched by content
	// PerSearch is how many bytes of files one search reads, and one file more; 0 for no bound. Then it says where to go on.
	PerSearch int64
	// AtOnce is how many files one search reads at a time, where reading means to wait; their order stays the same. Fewer than
	// 2: one after the other.
	AtOnce int
	// Ahead is how many bytes one search holds of files whose turn has not come yet; 16 MiB when 0. A file that does not fit is
	// opened ahead, and read when its turn has come.
	Ahead int64
}

// Index searches one volume. It may be used concurrently.
type Index struct {
	volume volume.Volume
	o      Options
	known  *signatures
	turns  chan struct{} // as many as may search at a time
}

// searchers is how many searches run at a time; each holds up to 3 MiB, and Options.Ahead when it reads several files at a time.
const searchers = 4

// New returns the index of a volume. It does nothing until it is asked.
func New(v volume.Volume, o Options) *Index {
	return &Index{volume: v, o: o, known: newSignatures(o.Bytes), turns: make(chan struct{}, searchers)}
}

// Query is what to look for.
type Query struct {
	Dir     string // where to begin; a file is searched alone
	Name    *Glob  // what the key within Dir must match
	Text    string // what a line must have; empty to find by name alone
	Regexp  bool   // Text is a regular expression
	Exact   bool   // upper and lower case differ
	Context int    // lines before and after
	All     bool   // also what .gitignore names
	After   Position
	// Permit says which keys may be seen at all.
	Permit func(key string, dir bool) bool
}

// Position is how far a search has come.
type Position struct {
	Key  string `json:"k"` // ends with a slash when it is a directory, of which nothing was seen yet
	Line int    `json:"l"` // the last line that was taken; AllLines when the file is done
}

// AllLines is beyond the last line of any file.
const AllLines = math.MaxInt

// Match is a line of a file, or with Line 0, a file or directory whose name matches.
type Match struct {
	Info   volume.Info
	Line   int // from 1
	Text   string
	Before []string
	After  []string
}

// Outcome says how a search ended.
type Outcome struct {
	More    bool     // it has not seen everything
	Next    Position // where to go on
	Skipped int      // files too large to be searched
}

// Search gives matches to take in the order of their keys until there are no more, take returns false, which means that
// it does not want this one yet, or most of the time of ctx is over.
func (x *Index) Search(ctx context.Context, q Query, take func(Match) bool) (Outcome, error) {
	select {
	case x.turns <- struct{}{}:
		defer func() { <-x.turns }()
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
	x.known.begin()
	s := &search{index: x, q: q, take: take, out: Outcome{Next: q.After}}
	if at, ok := ctx.Deadline(); ok {
		s.until = time.Now().Add(time.Until(at) * 3 / 4)
	}
	if q.Text != "" {
		var err error
		if s.matcher, err = newMatcher(q); err != nil {
			return Outcome{}, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer s.end()
	defer cancel()
	err := s.run(ctx)
	return s.out, err
}

// A search is one under way.
type search struct {
	index   *Index
	q       Query
	take    func(Match) bool
	matcher *matcher
	until   time.Time // when to stop; zero for never
	grams   *collector
	lines   []byte // buffer for reading
	read    int64  // bytes of files that were read, or are being
	turns   []*turn
	held    int64 // bytes of files in turns
	readers sync.WaitGroup
	out     Outcome
}

func (s *search) run(ctx context.Context) error {
	info, err := s.index.volume.Stat(ctx, s.q.Dir)
	if err != nil {
		return err
	}
	if !info.Dir {
		return s.rest(ctx, s.visit(ctx, info, s.q.After.Line))
	}
	w := &walk{volume: s.index.volume, permit: s.q.Permit, all: s.q.All, visit: func(i volume.Info) error { return s.visit(ctx, i, 0) }}
	if key := s.q.After.Key; key != "" {
		if err := s.again(ctx, key); err != nil {
			return s.rest(ctx, err)
		}
		w.after = strings.Split(strings.TrimPrefix(strings.TrimPrefix(key, s.q.Dir), "/"), "/")
	}
	return s.rest(ctx, w.run(ctx, s.q.Dir))
}

// rest ends a search that has seen every entry, or has been stopped by err.
func (s *search) rest(ctx context.Context, err error) error {
	if err == nil && !s.out.More {
		err = s.all(ctx)
	}
	if err == errStop {
		return nil
	}
	return err
}

// again goes on in the file where the last page ended, if it is still there.
func (s *search) again(ctx context.Context, key string) error {
	if s.q.After.Line == AllLines || s.matcher == nil || !s.q.Permit(key, false) {
		return nil
	}
	info, err := s.index.volume.Stat(ctx, key)
	if err != nil || info.Dir {
		return passing(err)
	}
	return s.visit(ctx, info, s.q.After.Line)
}

// visit looks at one file or directory, in a file after a line.
func (s *search) visit(ctx context.Context, info volume.Info, after int) error {
	if !s.until.IsZero() && time.Now().After(s.until) {
		return s.late(ctx)
	}
	within := strings.TrimPrefix(strings.TrimPrefix(info.Key, s.q.Dir), "/")
	if within == "" {
		_, within = volume.Split(info.Key)
	}
	if s.q.Name == nil || s.q.Name.Match(within) {
		if err := s.match(ctx, info, after); err != nil {
			return err
		}
	}
	s.reach(whole(info), 0)
	return nil
}

// whole is the position after a file, or before what is in a directory.
func whole(info volume.Info) Position {
	if info.Dir {
		return Position{info.Key + "/", AllLines}
	}
	return Position{info.Key, AllLines}
}

func (s *search) match(ctx context.Context, info volume.Info, after int) error {
	if s.matcher == nil {
		return s.give(Match{Info: info})
	}
	if info.Dir || info.Size == 0 || info.Link != "" {
		return nil
	}
	if info.Size > s.index.o.MaxFile {
		s.reach(whole(info), 1)
		return nil
	}
	k, ok := s.index.known.get(info.Key, info.Version)
	if ok && (k.binary || !k.sig.mayHave(s.matcher.trigrams)) {
		return nil
	}
	if most := s.index.o.PerSearch; most > 0 && s.read > 0 && s.read+info.Size > most {
		if err := s.all(ctx); err != nil {
			return err
		}
		s.out.More = true
		return errStop
	}
	s.read += info.Size
	return s.look(ctx, &turn{info: info, after: after, learn: !ok})
}

// give hands a match over, or stops.
func (s *search) give(m Match) error {
	if !s.take(m) {
		s.out.More = true
		return errStop
	}
	s.out.Next = Position{m.Info.Key, m.Line}
	if m.Line == 0 {
		s.out.Next = whole(m.Info)
	}
	return nil
}

// through reads a file through, if it is still as it was listed.
func (s *search) through(ctx context.Context, t *turn) error {
	err := t.err
	if err == nil {
		err = s.file(ctx, t)
	}
	t.file.close()
	return passing(err)
}

func (s *search) file(ctx context.Context, t *turn) error {
	r, err := s.reader(t.file.body)
	if err == text.ErrBinary {
		s.learn(t.file.Info(), known{binary: true})
		return nil
	}
	if err != nil {
		return err
	}
	if !t.learn {
		return s.scan(ctx, r, t.info, t.after)
	}
	if s.grams == nil {
		s.grams = newCollector()
	}
	s.grams.reset()
	r.grams = s.grams
	if err := s.scan(ctx, r, t.info, t.after); err != nil {
		return err
	}
	s.learn(t.file.Info(), known{sig: s.grams.signature()})
	return nil
}

func (s *search) learn(info volume.Info, k known) {
	if !info.Settled {
		return
	}
	k.key, k.version = info.Key, info.Version
	s.index.known.put(k)
}
