package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// lookLimit bounds one look into the store, which several callers may wait for.
const lookLimit = 3 * time.Second

// fresh gives what is known of a key, if it is not too old.
func (k *Keys) fresh(id string) (answer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.known[id]
	return a, ok && k.o.Now().Sub(a.at) < k.o.Fresh
}

// find gives what is known of a key, or looks. Of callers who look for the same key
// at once one does, for all; that one leaving does not end it for the others.
func (k *Keys) find(ctx context.Context, id string) (answer, error) {
	if a, ok := k.fresh(id); ok {
		return a, nil
	}
	result := k.flight.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookLimit)
		defer cancel()
		return k.look(ctx, id)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return answer{}, r.Err
		}
		return r.Val.(answer), nil
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// look asks the store, and remembers what it says as of the time of asking.
func (k *Keys) look(ctx context.Context, id string) (answer, error) {
	k.mu.Lock()
	epoch := k.epoch
	k.mu.Unlock()
	a := answer{at: k.o.Now()}
	var err error
	if a.key, err = k.keys.Get(ctx, id); err != nil {
		return answer{}, err
	}
	if !a.key.Revoked.IsZero() {
		a.refusal = auth.Invalid("key %s was revoked at %s", id, a.key.Revoked.Format(time.RFC3339))
	}
	a.principal = mcp.Principal{ID: "key:" + id, Name: a.key.Name, Roles: []string{a.key.Role}, Method: "key"}
	if a.key.Owner != "" {
		if err := k.onBehalf(ctx, &a); err != nil {
			return answer{}, err
		}
	}
	a.principal.Servers = slices.Clone(a.key.Servers)
	k.mu.Lock()
	defer k.mu.Unlock()
	if epoch == k.epoch {
		if len(k.known) >= remembered {
			clear(k.known)
		}
		k.known[id] = a
	}
	return a, nil
}

// onBehalf makes the holder of a key who its owner is, as long as that one may be
// what the key says.
func (k *Keys) onBehalf(ctx context.Context, a *answer) error {
	owner, err := k.users.Get(ctx, a.key.Owner)
	switch {
	case errors.Is(err, store.ErrNotFound):
		a.refusal = auth.Invalid("the owner of key %s is gone", a.key.ID)
		return nil
	case err != nil:
		return fmt.Errorf("read the owner of the key: %w", err)
	case owner.Disabled:
		a.refusal = auth.Invalid("the owner of key %s is disabled", a.key.ID)
	case !users.Covers(owner.Role, a.key.Role):
		a.refusal = auth.Invalid("the owner of key %s is no longer %s", a.key.ID, a.key.Role)
	case owner.Created.After(a.key.Created):
		a.refusal = auth.Invalid("the owner of key %s was another user of that name", a.key.ID)
	}
	owner.Role = a.key.Role
	a.principal = users.Principal(owner, "key")
	return nil
}

// forget drops what no longer holds. What is being read meanwhile is not remembered.
func (k *Keys) forget(which func(id string, a answer) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epoch++
	for id, a := range k.known {
		if which(id, a) {
			delete(k.known, id)
		}
	}
}

// forgetKey drops one key; who asks from now on does not get the answer of a look
// that has begun before.
func (k *Keys) forgetKey(id string) {
	k.forget(func(known string, _ answer) bool { return known == id })
	k.flight.Forget(id)
}

// note remembers that a key was used now.
func (k *Keys) note(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used[id] = k.o.Now()
}

// Run forgets what the store's feed says, and writes down now and then when keys
// were used last, until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	var writer sync.WaitGroup
	writer.Go(func() { k.write(ctx) })
	defer writer.Wait()
	for c, err := range k.feed.Changes(ctx) {
		// An error needs no answer: until the feed is back nothing is told from memory
		// that is older than Fresh.
		if err == nil {
			k.hear(c)
		}
	}
	return ctx.Err()
}

func (k *Keys) hear(c store.Change) {
	switch c.Domain {
	case "":
		k.forget(func(string, answer) bool { return true })
	case "keys":
		k.forgetKey(c.Key)
	case "users":
		k.forget(func(_ string, a answer) bool { return a.key.Owner == c.Key })
	}
}

func (k *Keys) write(ctx context.Context) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			k.writeUsed(context.WithoutCancel(ctx))
			return
		}
		k.writeUsed(ctx)
	}
}

// writeUsed writes down when keys were used. What cannot be written is left for the
// next time: it is a convenience, for which no call fails.
func (k *Keys) writeUsed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	k.mu.Lock()
	used := k.used
	k.used = map[string]time.Time{}
	k.mu.Unlock()
	if len(used) == 0 || k.keys.Used(ctx, used) == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, at := range used {
		if at.After(k.used[id]) {
			k.used[id] = at
		}
	}
}
