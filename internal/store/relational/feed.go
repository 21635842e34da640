package relational

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

const (
	// retryAfter is how long the hub waits before it listens again after a fault.
	retryAfter = time.Second
	// batch is how many changes are read at once.
	batch = 1000
	// backlog is how many changes wait for one reader. One that is slower has to
	// forget everything instead, which is right at any time.
	backlog = 1024
	// readLimit bounds one look at the database.
	readLimit = 5 * time.Second
)

// hub reads the changes once and hands them to everybody in this process. Its
// goroutine begins with the first who asks, and ends with close.
type hub struct {
	db    *database
	start func() // begins the goroutine, once
	end   context.CancelFunc
	done  sync.WaitGroup

	mu        sync.Mutex // guards what follows
	closed    bool
	listening bool
	readers   []*reader
}

// reader is one loop over Changes.
type reader struct {
	items chan item // the hub is its sender; closed by the hub when it ends
	lost  bool      // guarded by hub.mu: something did not fit, so that everything has to be forgotten
}

type item struct {
	change store.Change
	err    error
}

func newHub(db *database) *hub {
	ctx, cancel := context.WithCancel(context.Background())
	h := &hub{db: db, end: cancel}
	h.start = sync.OnceFunc(func() { h.done.Go(func() { h.run(ctx) }) })
	return h
}

func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.end()
	h.done.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.readers {
		close(r.items)
	}
	h.readers = nil
}

// Changes is the feed; see store.Feed. After Close it ends.
func (h *hub) Changes(ctx context.Context) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		r := h.join()
		if r == nil {
			return
		}
		defer h.leave(r)
		for {
			select {
			case <-ctx.Done():
				return
			case got, ok := <-r.items:
				if !ok || ctx.Err() != nil || !yield(got.change, got.err) {
					return
				}
			}
		}
	}
}

func (h *hub) join() *reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	r := &reader{items: make(chan item, backlog)}
	h.readers = append(h.readers, r)
	if h.listening {
		r.items <- item{}
	}
	h.start()
	return r
}

func (h *hub) leave(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers = slices.DeleteFunc(h.readers, func(other *reader) bool { return other == r })
}

// tell hands something to every reader. It never waits: a reader that has not
// kept up is told to forget everything as soon as there is room.
func (h *hub) tell(i item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.readers {
		r.put(i)
	}
}

// remind tells those who have lost something, now that they may have room.
func (h *hub) remind() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.readers {
		if r.lost {
			r.put(item{})
		}
	}
}

func (r *reader) put(i item) {
	if r.lost {
		i = item{}
	}
	select {
	case r.items <- i:
		r.lost = false
	default:
		r.lost = true
	}
}

func (h *hub) run(ctx context.Context) {
	position := int64(-1) // nothing seen yet
	for ctx.Err() == nil {
		err := h.listen(ctx, &position)
		if ctx.Err() != nil {
			return
		}
		h.tell(item{err: err})
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// listen reads changes until there is a fault, which it returns.
func (h *hub) listen(ctx context.Context, position *int64) error {
	bell, err := h.db.Listen(ctx)
	if err != nil {
		return err
	}
	defer bell.Close()
	if err := h.begin(ctx, position); err != nil {
		return err
	}
	for {
		if err := h.read(ctx, position); err != nil {
			return err
		}
		h.remind()
		if err := bell.Wait(ctx); err != nil {
			return err
		}
	}
}

// begin finds where to go on. If that is the beginning, or the database is older
// than what was seen before (it was restored), everything has to be forgotten.
func (h *hub) begin(ctx context.Context, position *int64) error {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	var last int64
	if err := h.db.Reader.QueryRowContext(ctx, `SELECT COALESCE(MAX(position), 0) FROM changes`).Scan(&last); err != nil {
		return err
	}
	if *position >= 0 && *position <= last {
		return nil
	}
	*position = last
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listening = true
	for _, r := range h.readers {
		r.put(item{})
	}
	return nil
}

type numbered struct {
	position int64
	store.Change
}

func readChange(scan func(...any) error) (c numbered, err error) {
	err = scan(&c.position, &c.Domain, &c.Key)
	return c, err
}

// read hands on all that is new.
func (h *hub) read(ctx context.Context, position *int64) error {
	for {
		found, err := h.batch(ctx, *position)
		if err != nil {
			return err
		}
		if len(found) > 0 && found[0].position != *position+1 {
			h.tell(item{}) // what is missing was removed already
		}
		for _, c := range found {
			h.tell(item{change: c.Change})
			*position = c.position
		}
		if len(found) < batch {
			return nil
		}
	}
}

func (h *hub) batch(ctx context.Context, after int64) ([]numbered, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	return many(ctx, h.db, readChange, `SELECT position, domain, key FROM changes WHERE position > $1 ORDER BY position LIMIT $2`, after, batch)
}
