package mint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

const (
	upkeepEvery = time.Minute
	// blindMost is for how long what is remembered of revocations is believed
	// while the store cannot be heard: as long as a change may take anyway.
	blindMost = 5 * time.Second
	// silence ends blindness: the store's feed reports its faults every second.
	silence = 3 * time.Second
	// maxDenied bounds what is remembered, as store.Denials bounds what it gives.
	maxDenied = 100_000
)

// Denials are kept by these names beside others'.
const (
	denyToken  = "jti:"
	denyFamily = "family:"
)

// blindness is since when, and until when, the store could not be heard.
type blindness struct{ first, last time.Time }

// Run changes keys in time, and takes up what is revoked on other replicas,
// until ctx ends.
func (m *Mint) Run(ctx context.Context) error {
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		m.listen(ctx)
	}()
	defer func() { <-heard }()
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		m.upkeep(ctx)
	}
}

// upkeepTimeout bounds one turn of the upkeep.
const upkeepTimeout = 20 * time.Second

func (m *Mint) upkeep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, upkeepTimeout)
	defer cancel()
	_, purged := m.o.Denials.Purge(ctx, m.o.Now())
	if err := errors.Join(m.rotate(ctx), m.loadDenials(ctx), purged); err != nil && ctx.Err() == nil {
		m.o.Log.ErrorContext(ctx, "upkeep of tokens", "err", err)
	}
}

func (m *Mint) listen(ctx context.Context) {
	for change, err := range m.o.Feed.Changes(ctx) {
		if err != nil {
			m.deaf(err)
			continue
		}
		if err := m.apply(ctx, change); err != nil && ctx.Err() == nil {
			m.deaf(err)
		}
	}
}

// deaf notes that something may have changed that we did not hear.
func (m *Mint) deaf(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.o.Now()
	if now.Sub(m.blind.last) > silence {
		m.blind.first = now
		m.o.Log.Warn("changes of users and tokens cannot be heard", "err", err)
	}
	m.blind.last = now
	m.forgetUsers()
}

// forgetUsers makes users be read anew. m.mu is held.
func (m *Mint) forgetUsers() {
	m.epoch++
	clear(m.known)
}

func (m *Mint) apply(ctx context.Context, c store.Change) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepTimeout)
	defer cancel()
	switch c.Domain {
	case "":
		m.mu.Lock()
		m.forgetUsers()
		m.mu.Unlock()
		return errors.Join(m.loadDenials(ctx), m.rotate(ctx))
	case "users":
		m.mu.Lock()
		defer m.mu.Unlock()
		m.epoch++
		delete(m.known, c.Key)
	case "denials":
		if strings.HasPrefix(c.Key, denyToken) || strings.HasPrefix(c.Key, denyFamily) {
			m.deny(c.Key, m.o.Now().Add(m.o.MaxTTL))
		}
	case "signing_keys":
		return m.rotate(ctx)
	}
	return nil
}

func (m *Mint) deny(id string, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.denied == nil {
		m.denied = make(map[string]time.Time)
	}
	if len(m.denied) >= maxDenied {
		m.makeRoom()
	}
	m.denied[id] = until
}

// makeRoom forgets the one that would have expired first. m.mu is held.
func (m *Mint) makeRoom() {
	first := ""
	for id, until := range m.denied {
		if first == "" || until.Before(m.denied[first]) {
			first = id
		}
	}
	delete(m.denied, first)
}

func (m *Mint) loadDenials(ctx context.Context) error {
	denied, err := m.o.Denials.Denied(ctx, m.o.Now())
	if err != nil {
		return fmt.Errorf("read what was revoked: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, until := range m.denied {
		if _, ok := denied[id]; !ok && until.After(m.o.Now()) && len(denied) < maxDenied {
			denied[id] = until // heard of while the list was read
		}
	}
	m.denied = denied
	return nil
}

// revoked says why a token does not hold any more, or that this cannot be told.
func (m *Mint) revoked(tokenID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.o.Now()
	if now.Sub(m.blind.last) < silence && m.blind.last.Sub(m.blind.first) > blindMost {
		return errBlind
	}
	family, _, _ := strings.Cut(tokenID, ".")
	if m.denied[denyToken+tokenID].After(now) || family != "" && m.denied[denyFamily+family].After(now) {
		return auth.Invalid("token was revoked")
	}
	return nil
}

// Revoke ends one token, by its jti, here at once and on other replicas within 5 s.
func (m *Mint) Revoke(ctx context.Context, tokenID string) error {
	return m.end(ctx, denyToken+tokenID)
}

// RevokeFamily ends every token that came of one login.
func (m *Mint) RevokeFamily(ctx context.Context, family string) error {
	return m.end(ctx, denyFamily+family)
}

func (m *Mint) end(ctx context.Context, id string) error {
	until := m.o.Now().Add(m.o.MaxTTL + time.Hour)
	m.deny(id, until)
	if err := m.o.Denials.Deny(ctx, id, until); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}
