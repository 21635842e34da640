package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

// How an issuer is asked for its keys.
const (
	refreshEvery = 15 * time.Minute // and a quarter more or less, so that replicas do not ask at once
	refreshLeast = time.Minute      // between two questions because of a key that is not known
	retryFirst   = time.Second      // after a question that failed, doubled up to refreshLeast
	staleMost    = 24 * time.Hour   // for how long keys are used while the issuer cannot be reached
	askTimeout   = 10 * time.Second // for metadata and keys together
	waitMost     = 5 * time.Second  // of a caller, for an answer that is under way
	maxDocument  = 1 << 20          // bytes
)

// keyCache keeps the keys of one issuer.
//
// Who finds them waits only if there are none that could fit, and then no
// longer than waitMost. Questions are asked by one caller at a time, on behalf
// of all, and not more often than refreshLeast however many unknown keys are
// named.
type keyCache struct {
	issuer, jwks, name string
	client             *http.Client
	log                *slog.Logger
	now                func() time.Time
	lifetime           context.Context // of questions; ended by run
	end                context.CancelFunc

	mu      sync.Mutex // guards what follows
	keys    []jwt.Key
	fetched time.Time     // of keys
	asked   time.Time     // when the last question ended
	failed  int           // questions in a row
	last    error         // of the last question
	flight  chan struct{} // closed when the question under way has ended; nil if there is none
	closed  bool
	flights sync.WaitGroup
}

func newKeyCache(cfg config.Issuer, o Options) *keyCache {
	c := &keyCache{issuer: cfg.URL, jwks: cfg.JWKSURL, name: cfg.Name, client: o.Client, log: o.Log, now: o.Now}
	c.lifetime, c.end = context.WithCancel(context.Background())
	return c
}

// run refreshes the keys now and then. When it returns no question is under way
// and none will be asked any more.
func (c *keyCache) run(ctx context.Context) error {
	defer func() {
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		c.end()
		c.flights.Wait()
	}()
	for {
		select {
		case <-c.refreshed():
		case <-ctx.Done():
			return nil
		}
		wait := time.NewTimer(c.pause())
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

// refreshed asks, unless a caller has just done so, and gives what is closed when
// the keys are fresh.
func (c *keyCache) refreshed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight == nil && c.keys != nil && c.failed == 0 && c.now().Sub(c.asked) < refreshLeast {
		done := make(chan struct{})
		close(done)
		return done
	}
	return c.ask()
}

// pause is how long the upkeep waits before it asks again.
func (c *keyCache) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed > 0 {
		return c.backoff()
	}
	return refreshEvery*3/4 + rand.N(refreshEvery/2)
}

// backoff is how long to wait after questions that failed. c.mu is held.
func (c *keyCache) backoff() time.Duration {
	return min(retryFirst<<min(c.failed-1, 10), refreshLeast)
}

// find returns the keys that may have signed a token with this header.
func (c *keyCache) find(ctx context.Context, id, alg string) ([]jwt.Key, error) {
	c.mu.Lock()
	found, known := c.fitting(id, alg)
	if known || c.closed || !c.mayAsk() {
		defer c.mu.Unlock()
		return found, c.trouble()
	}
	done := c.ask()
	c.mu.Unlock()
	patience := time.NewTimer(waitMost)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found, _ = c.fitting(id, alg)
	return found, c.trouble()
}

// trouble says that no key can be trusted now. c.mu is held.
func (c *keyCache) trouble() error {
	switch {
	case c.keys == nil && c.last != nil:
		return fmt.Errorf("issuer %s: %w: %w", c.name, errNoKeys, c.last)
	case c.keys == nil:
		return fmt.Errorf("issuer %s: %w", c.name, errNoKeys)
	}
	return nil
}

// fitting gives the keys that fit a header, and whether no others need to be
// asked for. A token that names no key may be of any. c.mu is held.
func (c *keyCache) fitting(id, alg string) (found []jwt.Key, known bool) {
	if c.keys != nil && c.now().Sub(c.fetched) > staleMost {
		c.keys = nil // it may have withdrawn them long ago
	}
	for _, k := range c.keys {
		if id != "" && k.ID == id {
			known = true // whatever it is for: the issuer has nothing else by this name
		}
		if (id == "" || k.ID == id) && k.Fits(alg) {
			found = append(found, k)
		}
	}
	return found, known || id == "" && len(found) > 0
}

// has says whether a key is still the issuer's.
func (c *keyCache) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.fetched) > staleMost {
		return false
	}
	for _, k := range c.keys {
		if k.ID == id {
			return true
		}
	}
	return false
}

// mayAsk says whether a caller may start a question, or wait for the one under
// way. c.mu is held.
func (c *keyCache) mayAsk() bool {
	since := c.now().Sub(c.asked)
	switch {
	case c.flight != nil, c.asked.IsZero():
		return true
	case c.keys == nil && c.failed > 0:
		return since >= c.backoff()
	}
	return since >= refreshLeast
}

// ask begins a question, unless one is under way, and gives what is closed at
// its end. c.mu is held.
func (c *keyCache) ask() <-chan struct{} {
	if c.flight != nil {
		return c.flight
	}
	done := make(chan struct{})
	c.flight = done
	c.flights.Go(func() {
		ctx, cancel := context.WithTimeout(c.lifetime, askTimeout)
		defer cancel()
		keys, err := c.fetch(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flight, c.asked, c.last = nil, c.now(), err
		close(done)
		if err != nil {
			c.failed++
			c.log.WarnContext(ctx, "keys of issuer cannot be had", "issuer", c.name, "attempt", c.failed, "err", err)
			return
		}
		c.failed, c.keys, c.fetched = 0, keys, c.asked
	})
	return done
}

func (c *keyCache) fetch(ctx context.Context) ([]jwt.Key, error) {
	address := c.jwks
	if address == "" {
		var err error
		if address, err = c.discover(ctx); err != nil {
			return nil, err
		}
	}
	data, err := c.get(ctx, address)
	if err != nil {
		return nil, err
	}
	return jwt.ParseKeys(data)
}

// discover finds the address of the keys in the issuer's metadata, which may be
// in three places (2026-07-28, basic/authorization, "Authorization Server
// Metadata Discovery").
func (c *keyCache) discover(ctx context.Context) (string, error) {
	var errs []error
	for _, place := range metadataPlaces(c.issuer) {
		data, err := c.get(ctx, place)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		address, err := c.read(data)
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", place, err))
			continue
		}
		return address, nil
	}
	return "", fmt.Errorf("find the keys' address: %w", errors.Join(errs...))
}

func metadataPlaces(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	origin := u.Scheme + "://" + u.Host
	places := []string{origin + "/.well-known/oauth-authorization-server" + path, origin + "/.well-known/openid-configuration" + path}
	if path != "" {
		places = append(places, origin+path+"/.well-known/openid-configuration")
	}
	return places
}

// read takes the address of the keys from metadata, which has to be that of the
// issuer that it was asked for (RFC 8414, 3.3).
func (c *keyCache) read(data []byte) (string, error) {
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(data, &metadata); err != nil {
		return "", errors.New("it is not a JSON object")
	}
	var issuer, address string
	_ = json.Unmarshal(metadata["issuer"], &issuer) // what is no text stays empty
	_ = json.Unmarshal(metadata["jwks_uri"], &address)
	if issuer != c.issuer {
		return "", fmt.Errorf("it is of the issuer %q, not %q", issuer, c.issuer)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("its jwks_uri is %q", address)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(c.issuer, "https:")) {
		return "", fmt.Errorf("its jwks_uri %q is not https", address)
	}
	return address, nil
}

func (c *keyCache) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := c.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: status %d", address, res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", address, err)
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("read %s: more than %d bytes", address, maxDocument)
	}
	return data, nil
}
