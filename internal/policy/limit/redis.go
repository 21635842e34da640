package limit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

//go:embed count.lua
var countText string

// retryRedis is how long Redis is left alone after it did not answer.
const retryRedis = time.Second

// errAway says that Redis is not asked now.
var errAway = errors.New("redis is away")

// shared is the count of all replicas.
type shared struct {
	client  *redis.Client
	script  *redis.Script
	prefix  string
	timeout time.Duration
	o       Options
	busy    *busy        // nil when no rule bounds calls at once
	down    atomic.Int64 // until when Redis is left alone, in nanoseconds of Unix time; 0 while it answers
}

func newShared(cfg config.Rates, o Options) (*shared, error) {
	options, err := redis.ParseURL(cfg.Redis.Reveal())
	if err != nil {
		return nil, errors.New("read rates.redis: it is not a redis:// or rediss:// URL") // the URL has a password
	}
	if o.Dial == nil {
		return nil, errors.New("reach redis: no dialer was given")
	}
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = 100 * time.Millisecond
	}
	dial, tlsConfig := o.Dial, options.TLSConfig
	options.Dialer = dial
	if tlsConfig != nil {
		options.Dialer = secured(dial, tlsConfig)
		options.TLSConfig = nil
	}
	options.MaxRetries = -1 // a call is counted once, or by this replica
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = timeout, timeout, timeout
	options.ContextTimeoutEnabled = true
	options.DisableIdentity = true
	s := &shared{
		client: redis.NewClient(options), script: redis.NewScript(countText),
		prefix: cfg.Prefix, timeout: timeout, o: o,
	}
	if slices.ContainsFunc(cfg.Calls, func(r config.Rule) bool { return r.AtOnce > 0 }) {
		s.busy = newBusy()
		s.busy.done.Go(s.keep)
	}
	return s, nil
}

func (s *shared) close() error {
	if s.busy != nil {
		close(s.busy.stop)
		s.busy.done.Wait()
	}
	return s.client.Close()
}

// count charges all or none. An error means that this replica has to count by
// itself: then it is not known whether Redis did, and a call more is counted
// rather than one less.
func (s *shared) count(ctx context.Context, charges []charge) (refused int, wait time.Duration, err error) {
	var keys []string
	var args []any
	var of []int
	for i := range charges {
		r := charges[i].rule
		if !r.counts() {
			continue
		}
		keys = append(keys, s.prefix+string(charges[i].key))
		args = append(args, strconv.FormatFloat(float64(r.interval)/1e3, 'f', -1, 64), r.burst, r.perDay)
		of = append(of, i)
	}
	if len(keys) == 0 {
		return -1, 0, nil
	}
	answer, err := s.ask(ctx, s.script, keys, args, len(of))
	switch {
	case err != nil:
		return 0, 0, err
	case answer[0] == 0:
		return -1, 0, nil
	}
	return of[answer[0]-1], time.Duration(answer[1]) * time.Microsecond, nil
}

// ask runs a script, unless Redis is left alone. It answers with two numbers, of
// which the first is at most n.
func (s *shared) ask(ctx context.Context, script *redis.Script, keys []string, args []any, n int) ([]int64, error) {
	now := s.o.Now().UnixNano()
	until := s.down.Load()
	if until > now || until != 0 && !s.down.CompareAndSwap(until, now+int64(retryRedis)) {
		return nil, errAway // another call is trying already
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	answer, err := script.Run(ctx, s.client, keys, args...).Int64Slice()
	if err == nil && (len(answer) != 2 || answer[0] < 0 || answer[0] > int64(n)) {
		err = fmt.Errorf("unexpected answer %v", answer)
	}
	if err != nil {
		s.away(ctx, err)
		return nil, err
	}
	if until != 0 {
		s.down.Store(0)
		s.o.Log.InfoContext(ctx, "redis answers again: replicas count calls together")
	}
	return answer, nil
}

// away leaves Redis alone for a while.
func (s *shared) away(ctx context.Context, err error) {
	if s.down.Swap(s.o.Now().Add(retryRedis).UnixNano()) == 0 {
		s.o.Log.WarnContext(ctx, "redis does not answer: each replica counts its own part of the calls", "err", err)
	}
}
