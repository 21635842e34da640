package relational

import (
	"context"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

type families struct{ *database }

const familyColumns = `id, subject, client, hash, data, created, expires, revoked`

func readFamily(scan func(...any) error) (f store.Family, err error) {
	err = scan(&f.ID, &f.Subject, &f.Client, &f.Hash, &f.Data, moment{&f.Created}, moment{&f.Expires}, moment{&f.Revoked})
	return f, err
}

func (d families) Add(ctx context.Context, f store.Family) error {
	return d.write(ctx, func(t *transaction) error {
		return t.must(ctx, store.ErrConflict, `INSERT INTO families (`+familyColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
			name(f.ID), f.Subject, f.Client, f.Hash, f.Data, f.Created, f.Expires, f.Revoked)
	})
}

func (d families) Get(ctx context.Context, id string) (store.Family, error) {
	return one(ctx, d.database, readFamily, `SELECT `+familyColumns+` FROM families WHERE id = $1`, name(id))
}

func (d families) Rotate(ctx context.Context, id string, old, hash []byte) error {
	return d.write(ctx, func(t *transaction) error {
		n, err := t.exec(ctx, `UPDATE families SET hash = $1 WHERE id = $2 AND hash = $3 AND revoked = 0`, hash, name(id), old)
		if err != nil || n == 1 {
			return err
		}
		return t.staleOr(ctx, store.ErrNotFound, `SELECT 1 FROM families WHERE id = $1`, name(id))
	})
}

func (d families) Revoke(ctx context.Context, id string, at time.Time) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("families", id)
		return t.must(ctx, store.ErrNotFound,
			`UPDATE families SET revoked = CASE WHEN revoked = 0 THEN $1 ELSE revoked END WHERE id = $2`, at, name(id))
	})
}

func (d families) RevokeAll(ctx context.Context, subject string, at time.Time) (int, error) {
	return d.count(ctx, func(t *transaction) (int64, error) {
		t.changed("families", subject)
		return t.exec(ctx, `UPDATE families SET revoked = $1 WHERE subject = $2 AND revoked = 0`, at, name(subject))
	})
}

func (d families) Purge(ctx context.Context, before time.Time) (int, error) {
	return d.count(ctx, func(t *transaction) (int64, error) {
		return t.exec(ctx, `DELETE FROM families WHERE expires < $1`, before)
	})
}

type denials struct{ *database }

// maxDenied bounds what every replica keeps in memory.
const maxDenied = 100_000

func (d denials) Deny(ctx context.Context, id string, until time.Time) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("denials", id)
		_, err := t.exec(ctx, `INSERT INTO denials (id, until) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE denials.until < excluded.until`, name(id), until)
		return err
	})
}

func (d denials) Denied(ctx context.Context, at time.Time) (map[string]time.Time, error) {
	type denial struct {
		id    string
		until time.Time
	}
	read := func(scan func(...any) error) (one denial, err error) {
		err = scan(&one.id, moment{&one.until})
		return one, err
	}
	found, err := many(ctx, d.database, read, `SELECT id, until FROM denials WHERE until >= $1 ORDER BY until DESC LIMIT $2`, at, maxDenied)
	if err != nil {
		return nil, err
	}
	all := make(map[string]time.Time, len(found))
	for _, one := range found {
		all[one.id] = one.until
	}
	return all, nil
}

func (d denials) Spend(ctx context.Context, id string, until time.Time) error {
	return d.write(ctx, func(t *transaction) error {
		return t.must(ctx, store.ErrConflict, `INSERT INTO spent (id, until) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name(id), until)
	})
}

func (d denials) Purge(ctx context.Context, before time.Time) (int, error) {
	return d.count(ctx, func(t *transaction) (int64, error) {
		denied, err := t.exec(ctx, `DELETE FROM denials WHERE until < $1`, before)
		if err != nil {
			return 0, err
		}
		spent, err := t.exec(ctx, `DELETE FROM spent WHERE until < $1`, before)
		return denied + spent, err
	})
}

type signingKeys struct{ *database }

func readSigningKey(scan func(...any) error) (k store.SigningKey, err error) {
	err = scan(&k.ID, &k.Algorithm, &k.Public, &k.Private, moment{&k.Created}, moment{&k.Active}, moment{&k.Expires})
	return k, err
}

// Add takes the next position, which only one of those can have that saw the same
// key as the newest.
func (d signingKeys) Add(ctx context.Context, k store.SigningKey, newest string) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("signing_keys", k.ID)
		return t.must(ctx, store.ErrConflict, `INSERT INTO signing_keys (id, position, algorithm, public, private, created, active, expires)
			SELECT $1, COALESCE(MAX(position), 0) + 1, $2, $3, $4, $5, $6, $7 FROM signing_keys
			HAVING COALESCE((SELECT id FROM signing_keys ORDER BY position DESC LIMIT 1), '') = $8
			ON CONFLICT DO NOTHING`,
			name(k.ID), k.Algorithm, k.Public, k.Private, k.Created, k.Active, k.Expires, newest)
	})
}

func (d signingKeys) List(ctx context.Context) ([]store.SigningKey, error) {
	return many(ctx, d.database, readSigningKey, `SELECT id, algorithm, public, private, created, active, expires
		FROM signing_keys ORDER BY position DESC`)
}

func (d signingKeys) Remove(ctx context.Context, id string) error {
	err := d.write(ctx, func(t *transaction) error {
		t.changed("signing_keys", id)
		return t.must(ctx, store.ErrNotFound, `DELETE FROM signing_keys WHERE id = $1`, name(id))
	})
	if err != nil {
		return err
	}
	return d.erased(ctx)
}
