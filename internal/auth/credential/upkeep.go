package credential

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

const (
	// purgeEvery is how often what has expired is forgotten, and purgeTimeout bounds it.
	purgeEvery   = time.Hour
	purgeTimeout = time.Minute
)

// Run forgets the ids of logins that ended so long ago that their links hold no
// longer, and logins whose code nobody has given: at once and then every hour, until
// ctx ends. Replicas may do so at the same time. It needs what Keep gives.
func (b *Broker) Run(ctx context.Context) error {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		if err := b.purge(ctx); err != nil && ctx.Err() == nil {
			b.o.Log.WarnContext(ctx, "logins that have expired cannot be forgotten now", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (b *Broker) purge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	state, now := b.keeper.Load().State, b.o.Now()
	_, err := state.Denials.Purge(ctx, now)
	var late []store.Credential
	for c, each := range state.Credentials.All(ctx, "") {
		if each != nil {
			return errors.Join(err, each)
		}
		if strings.HasPrefix(c.Issuer, asidePrefix) && !c.Expires.IsZero() && c.Expires.Before(now) {
			late = append(late, c)
		}
	}
	for _, c := range late {
		k, fault := b.vault.load(ctx, c.Principal, c.Issuer)
		if fault == nil && k.version != c.Version {
			continue // a login since
		}
		if removed := state.Credentials.Remove(ctx, c.Principal, c.Issuer); removed != nil {
			if !errors.Is(removed, store.ErrNotFound) { // another replica was faster
				err = errors.Join(err, removed)
			}
			continue
		}
		if fault == nil && k.Proof != nil && !k.Proof.Taken {
			name, _, _ := strings.Cut(strings.TrimPrefix(c.Issuer, asidePrefix), " ")
			b.serverNamed(name).takeBackLater(ctx, c.Principal, k.credential)
		}
	}
	return err
}
