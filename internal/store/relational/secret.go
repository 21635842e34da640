package relational

import (
	"context"
	"iter"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

// page is how many records are read at once by those who go through all.
const page = 500

type credentials struct{ *database }

const credentialColumns = `principal, issuer, ciphertext, key, expires, updated, version`

func readCredential(scan func(...any) error) (c store.Credential, err error) {
	err = scan(&c.Principal, &c.Issuer, &c.Ciphertext, &c.Key, moment{&c.Expires}, moment{&c.Updated}, &c.Version)
	return c, err
}

func (d credentials) Put(ctx context.Context, c store.Credential) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("credentials", c.Principal)
		if c.Version == 0 {
			return t.must(ctx, store.ErrConflict, `INSERT INTO credentials (`+credentialColumns+`) VALUES ($1, $2, $3, $4, $5, $6, 1)
				ON CONFLICT DO NOTHING`, name(c.Principal), name(c.Issuer), c.Ciphertext, c.Key, c.Expires, c.Updated)
		}
		return t.must(ctx, store.ErrConflict, `UPDATE credentials SET ciphertext = $1, key = $2, expires = $3, updated = $4,
			version = version + 1 WHERE principal = $5 AND issuer = $6 AND version = $7`,
			c.Ciphertext, c.Key, c.Expires, c.Updated, name(c.Principal), name(c.Issuer), c.Version)
	})
}

func (d credentials) Get(ctx context.Context, principal, issuer string) (store.Credential, error) {
	return one(ctx, d.database, readCredential, `SELECT `+credentialColumns+` FROM credentials WHERE principal = $1 AND issuer = $2`,
		name(principal), name(issuer))
}

func (d credentials) All(ctx context.Context, principal string) iter.Seq2[store.Credential, error] {
	return pages(func(last store.Credential) ([]store.Credential, error) {
		if principal != "" {
			return many(ctx, d.database, readCredential, `SELECT `+credentialColumns+` FROM credentials
				WHERE principal = $1 AND issuer > $2 ORDER BY issuer LIMIT $3`, principal, last.Issuer, page)
		}
		return many(ctx, d.database, readCredential, `SELECT `+credentialColumns+` FROM credentials
			WHERE (principal, issuer) > ($1, $2) ORDER BY principal, issuer LIMIT $3`, last.Principal, last.Issuer, page)
	})
}

// pages goes through records, a page at a time; next gives those after the last
// one, which is the zero value at first.
func pages[T any](next func(last T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last T
		for {
			found, err := next(last)
			if err != nil {
				yield(last, err)
				return
			}
			for _, one := range found {
				if !yield(one, nil) {
					return
				}
			}
			if len(found) < page {
				return
			}
			last = found[len(found)-1]
		}
	}
}

func (d credentials) Remove(ctx context.Context, principal, issuer string) error {
	err := d.write(ctx, func(t *transaction) error {
		t.changed("credentials", principal)
		return t.must(ctx, store.ErrNotFound, `DELETE FROM credentials WHERE principal = $1 AND issuer = $2`, name(principal), name(issuer))
	})
	if err != nil {
		return err
	}
	return d.erased(ctx)
}

func (d credentials) RemoveAll(ctx context.Context, principal string) (int, error) {
	n, err := d.count(ctx, func(t *transaction) (int64, error) {
		t.changed("credentials", principal)
		return t.exec(ctx, `DELETE FROM credentials WHERE principal = $1`, name(principal))
	})
	if err != nil || n == 0 {
		return n, err
	}
	return n, d.erased(ctx)
}

type dataKeys struct{ *database }

const dataKeyColumns = `subject, id, wrapped, wrapper, created, version`

func readDataKey(scan func(...any) error) (k store.DataKey, err error) {
	err = scan(&k.Subject, &k.ID, &k.Wrapped, &k.Wrapper, moment{&k.Created}, &k.Version)
	return k, err
}

func (d dataKeys) Put(ctx context.Context, k store.DataKey) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("data_keys", k.Subject)
		if k.Version == 0 {
			return t.must(ctx, store.ErrConflict, `INSERT INTO data_keys (subject, id, position, wrapped, wrapper, created, version)
				SELECT $1, $2, COALESCE(MAX(position), 0) + 1, $3, $4, $5, 1 FROM data_keys WHERE subject = $6
				ON CONFLICT DO NOTHING`, name(k.Subject), name(k.ID), k.Wrapped, k.Wrapper, k.Created, name(k.Subject))
		}
		return t.must(ctx, store.ErrConflict, `UPDATE data_keys SET wrapped = $1, wrapper = $2, version = version + 1
			WHERE subject = $3 AND id = $4 AND version = $5`, k.Wrapped, k.Wrapper, name(k.Subject), name(k.ID), k.Version)
	})
}

func (d dataKeys) Get(ctx context.Context, subject, id string) (store.DataKey, error) {
	return one(ctx, d.database, readDataKey, `SELECT `+dataKeyColumns+` FROM data_keys WHERE subject = $1 AND id = $2`,
		name(subject), name(id))
}

func (d dataKeys) Newest(ctx context.Context, subject string) (store.DataKey, error) {
	return one(ctx, d.database, readDataKey, `SELECT `+dataKeyColumns+` FROM data_keys WHERE subject = $1
		ORDER BY position DESC, id DESC LIMIT 1`, name(subject))
}

func (d dataKeys) All(ctx context.Context) iter.Seq2[store.DataKey, error] {
	return pages(func(last store.DataKey) ([]store.DataKey, error) {
		return many(ctx, d.database, readDataKey, `SELECT `+dataKeyColumns+` FROM data_keys
			WHERE (subject, id) > ($1, $2) ORDER BY subject, id LIMIT $3`, last.Subject, last.ID, page)
	})
}

// Remove erases even if there is nothing to remove: the last time that may have failed.
func (d dataKeys) Remove(ctx context.Context, subject string) (int, error) {
	n, err := d.count(ctx, func(t *transaction) (int64, error) {
		t.changed("data_keys", subject)
		return t.exec(ctx, `DELETE FROM data_keys WHERE subject = $1`, name(subject))
	})
	if err != nil {
		return n, err
	}
	return n, d.erased(ctx)
}
