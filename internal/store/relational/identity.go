package relational

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

type users struct{ *database }

const userColumns = `name, full_name, email, role, disabled, password, failures, last_attempt, created, updated, version`

func readUser(scan func(...any) error) (u store.User, err error) {
	err = scan(&u.Name, &u.FullName, &u.Email, &u.Role, &u.Disabled, &u.Password, &u.Failures, moment{&u.LastAttempt},
		moment{&u.Created}, moment{&u.Updated}, &u.Version)
	return u, err
}

func (d users) Add(ctx context.Context, u store.User) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("users", u.Name)
		return t.must(ctx, store.ErrConflict, `INSERT INTO users (`+userColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1) ON CONFLICT DO NOTHING`,
			name(u.Name), u.FullName, u.Email, u.Role, u.Disabled, u.Password, u.Failures, u.LastAttempt, u.Created, u.Updated)
	})
}

func (d users) Get(ctx context.Context, user string) (store.User, error) {
	return one(ctx, d.database, readUser, `SELECT `+userColumns+` FROM users WHERE name = $1`, name(user))
}

func (d users) List(ctx context.Context, after string, limit int) ([]store.User, error) {
	return many(ctx, d.database, readUser, `SELECT `+userColumns+` FROM users WHERE name > $1 ORDER BY name LIMIT $2`, after, limit)
}

func (d users) Put(ctx context.Context, u store.User) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("users", u.Name)
		n, err := t.exec(ctx, `UPDATE users SET full_name = $1, email = $2, role = $3, disabled = $4, password = $5, updated = $6,
			version = version + 1 WHERE name = $7 AND version = $8`,
			u.FullName, u.Email, u.Role, u.Disabled, u.Password, u.Updated, name(u.Name), u.Version)
		if err != nil || n == 1 {
			return err
		}
		return t.staleOr(ctx, store.ErrNotFound, `SELECT 1 FROM users WHERE name = $1`, name(u.Name))
	})
}

func (d users) Remove(ctx context.Context, user string) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("users", user)
		return t.must(ctx, store.ErrNotFound, `DELETE FROM users WHERE name = $1`, name(user))
	})
}

func (d users) Attempt(ctx context.Context, user string, seen int, at time.Time) error {
	return d.write(ctx, func(t *transaction) error {
		n, err := t.exec(ctx, `UPDATE users SET failures = failures + 1, last_attempt = $1 WHERE name = $2 AND failures = $3`,
			at, name(user), seen)
		if err != nil || n == 1 {
			return err
		}
		return t.staleOr(ctx, store.ErrNotFound, `SELECT 1 FROM users WHERE name = $1`, name(user))
	})
}

func (d users) Succeed(ctx context.Context, user string) error {
	return d.write(ctx, func(t *transaction) error {
		return t.must(ctx, store.ErrNotFound, `UPDATE users SET failures = 0 WHERE name = $1`, name(user))
	})
}

type keys struct{ *database }

const keyColumns = `id, name, owner, hash, role, servers, created, expires, used, revoked`

func readKey(scan func(...any) error) (k store.Key, err error) {
	err = scan(&k.ID, &k.Name, &k.Owner, &k.Hash, &k.Role, list{&k.Servers}, moment{&k.Created}, moment{&k.Expires},
		moment{&k.Used}, moment{&k.Revoked})
	return k, err
}

func (d keys) Add(ctx context.Context, k store.Key) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("keys", k.ID)
		return t.must(ctx, store.ErrConflict, `INSERT INTO keys (`+keyColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
			name(k.ID), k.Name, k.Owner, k.Hash, k.Role, k.Servers, k.Created, k.Expires, k.Used, k.Revoked)
	})
}

func (d keys) Get(ctx context.Context, id string) (store.Key, error) {
	return one(ctx, d.database, readKey, `SELECT `+keyColumns+` FROM keys WHERE id = $1`, name(id))
}

func (d keys) List(ctx context.Context, owner, after string, limit int) ([]store.Key, error) {
	if owner == "" {
		return many(ctx, d.database, readKey, `SELECT `+keyColumns+` FROM keys WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	}
	return many(ctx, d.database, readKey, `SELECT `+keyColumns+` FROM keys WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3`,
		owner, after, limit)
}

func (d keys) Revoke(ctx context.Context, id string, at time.Time) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("keys", id)
		return t.must(ctx, store.ErrNotFound, `UPDATE keys SET revoked = CASE WHEN revoked = 0 THEN $1 ELSE revoked END WHERE id = $2`,
			at, name(id))
	})
}

// Used goes through the ids in order: of two replicas that note the same keys at
// once, neither waits for a row of which the other waits.
func (d keys) Used(ctx context.Context, at map[string]time.Time) error {
	return d.write(ctx, func(t *transaction) error {
		for _, id := range slices.Sorted(maps.Keys(at)) {
			if _, err := t.exec(ctx, `UPDATE keys SET used = $1 WHERE id = $2 AND used < $1`, at[id], name(id)); err != nil {
				return err
			}
		}
		return nil
	})
}
