package limit

import (
	"context"
	"crypto/rand"
	_ "embed"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed enter.lua
var enterText string

//go:embed renew.lua
var renewText string

const (
	// lease is how long a call has its places among all replicas' calls at once. It is
	// renewed while the call lasts, so that those of a replica that has died come
	// back after this time.
	lease      = 15 * time.Second
	renewEvery = lease / 3
	// renewBatch is how many places are renewed with one question.
	renewBatch = 256
)

// busy counts the calls at once of all replicas.
type busy struct {
	enter, renew *redis.Script
	replica      string // no other has this name
	last         atomic.Uint64

	mu   sync.Mutex // guards what follows
	held map[string][]string
	stop chan struct{}
	done sync.WaitGroup
}

func newBusy() *busy {
	return &busy{enter: redis.NewScript(enterText), renew: redis.NewScript(renewText), replica: rand.Text(), held: make(map[string][]string), stop: make(chan struct{})}
}

// occupy takes a place for a call under each of its rules that bound how many there
// are at once; it returns which refused, -1 for none, and the call's name for
// leave. An error means that this replica has to judge by itself.
func (s *shared) occupy(ctx context.Context, charges []charge) (name string, refused int, err error) {
	name = s.busy.replica + strconv.FormatUint(s.busy.last.Add(1), 36)
	args := []any{name, lease.Milliseconds()}
	var keys []string
	var of []int
	for i := range charges {
		if limit := charges[i].rule.atOnce; limit > 0 {
			keys, args, of = append(keys, s.prefix+"busy:"+string(charges[i].key)), append(args, limit), append(of, i)
		}
	}
	answer, err := s.ask(ctx, s.busy.enter, keys, args, len(of))
	if err != nil {
		return "", 0, err
	}
	if answer[0] > 0 {
		return "", of[answer[0]-1], nil
	}
	s.busy.mu.Lock()
	defer s.busy.mu.Unlock()
	s.busy.held[name] = keys
	return name, -1, nil
}

// leave gives a call's places back before its caller hears the answer: who calls again then is
// not refused for a call that has ended. What cannot be given back comes back by itself.
func (s *shared) leave(name string) {
	if name == "" {
		return
	}
	s.busy.mu.Lock()
	keys := s.busy.held[name]
	delete(s.busy.held, name)
	s.busy.mu.Unlock()
	if s.down.Load() != 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			p.ZRem(ctx, key, name)
		}
		return nil
	})
	if err != nil {
		s.away(ctx, err)
	}
}

// keep renews the places of calls that last, until close.
func (s *shared) keep() {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.renew(context.Background())
		case <-s.busy.stop:
			return
		}
	}
}

func (s *shared) renew(ctx context.Context) {
	s.busy.mu.Lock()
	var keys []string
	args := []any{lease.Milliseconds()}
	for name, of := range s.busy.held {
		for _, key := range of {
			keys, args = append(keys, key), append(args, name)
		}
	}
	s.busy.mu.Unlock()
	for len(keys) > 0 {
		n := min(len(keys), renewBatch)
		if _, err := s.ask(ctx, s.busy.renew, keys[:n], append([]any{args[0]}, args[1:n+1]...), n); err != nil {
			return // it is tried again before the places are lost, or they are
		}
		keys, args = keys[n:], append(args[:1:1], args[n+1:]...)
	}
}
