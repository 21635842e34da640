package relational

import (
	"context"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

type leases struct{ *database }

// Take relies on the lock of the row: of two that take it at once, the second
// sees what the first has written.
func (d leases) Take(ctx context.Context, lease, holder string, now, until time.Time) error {
	return d.write(ctx, func(t *transaction) error {
		return t.must(ctx, store.ErrConflict, `INSERT INTO leases (name, holder, until) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE leases.until <= $4 OR leases.holder = excluded.holder`, name(lease), name(holder), until, now)
	})
}

func (d leases) Release(ctx context.Context, lease, holder string) error {
	return d.write(ctx, func(t *transaction) error {
		_, err := t.exec(ctx, `DELETE FROM leases WHERE name = $1 AND holder = $2`, name(lease), name(holder))
		return err
	})
}
