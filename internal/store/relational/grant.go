package relational

import (
	"context"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

type clients struct{ *database }

const clientColumns = `id, data, created, expires, version`

func readClient(scan func(...any) error) (c store.Client, err error) {
	err = scan(&c.ID, &c.Data, moment{&c.Created}, moment{&c.Expires}, &c.Version)
	return c, err
}

func (d clients) Put(ctx context.Context, c store.Client) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("clients", c.ID)
		if c.Version == 0 {
			return t.must(ctx, store.ErrConflict, `INSERT INTO clients (`+clientColumns+`) VALUES ($1, $2, $3, $4, 1) ON CONFLICT DO NOTHING`,
				name(c.ID), c.Data, c.Created, c.Expires)
		}
		return t.must(ctx, store.ErrConflict, `UPDATE clients SET data = $1, created = $2, expires = $3, version = version + 1
			WHERE id = $4 AND version = $5`, c.Data, c.Created, c.Expires, name(c.ID), c.Version)
	})
}

func (d clients) Get(ctx context.Context, id string) (store.Client, error) {
	return one(ctx, d.database, readClient, `SELECT `+clientColumns+` FROM clients WHERE id = $1`, name(id))
}

func (d clients) List(ctx context.Context, after string, limit int) ([]store.Client, error) {
	return many(ctx, d.database, readClient, `SELECT `+clientColumns+` FROM clients WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
}

func (d clients) Remove(ctx context.Context, id string) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("clients", id)
		return t.must(ctx, store.ErrNotFound, `DELETE FROM clients WHERE id = $1`, name(id))
	})
}

type consents struct{ *database }

const (
	consentColumns = `subject, client, redirect, scopes, granted, expires`
	maxConsents    = 1000
)

func readConsent(scan func(...any) error) (c store.Consent, err error) {
	err = scan(&c.Subject, &c.Client, &c.Redirect, list{&c.Scopes}, moment{&c.Granted}, moment{&c.Expires})
	return c, err
}

func (d consents) Put(ctx context.Context, c store.Consent) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("consents", c.Subject)
		_, err := t.exec(ctx, `INSERT INTO consents (`+consentColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (subject, client, redirect) DO UPDATE
			SET scopes = excluded.scopes, granted = excluded.granted, expires = excluded.expires`,
			name(c.Subject), name(c.Client), c.Redirect, c.Scopes, c.Granted, c.Expires)
		return err
	})
}

func (d consents) Get(ctx context.Context, subject, client, redirect string) (store.Consent, error) {
	return one(ctx, d.database, readConsent, `SELECT `+consentColumns+` FROM consents WHERE subject = $1 AND client = $2 AND redirect = $3`,
		name(subject), name(client), redirect)
}

func (d consents) List(ctx context.Context, subject string) ([]store.Consent, error) {
	return many(ctx, d.database, readConsent, `SELECT `+consentColumns+` FROM consents WHERE subject = $1
		ORDER BY client, redirect LIMIT $2`, subject, maxConsents)
}

func (d consents) Remove(ctx context.Context, subject, client string) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("consents", subject)
		n, err := t.exec(ctx, `DELETE FROM consents WHERE subject = $1 AND client = $2`, name(subject), name(client))
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		return err
	})
}

type pins struct{ *database }

const pinColumns = `server, kind, name, hash, definition, state, decided_by, at, created, version`

func readPin(scan func(...any) error) (p store.Pin, err error) {
	err = scan(&p.Server, &p.Kind, &p.Name, &p.Hash, &p.Definition, &p.State, &p.By, moment{&p.At}, moment{&p.Created}, &p.Version)
	return p, err
}

func (d pins) Put(ctx context.Context, pins ...store.Pin) error {
	return d.write(ctx, func(t *transaction) error {
		for _, p := range pins {
			t.changed("pins", p.Server)
			if err := t.pin(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *transaction) pin(ctx context.Context, p store.Pin) error {
	if p.Version == 0 {
		return t.must(ctx, store.ErrConflict, `INSERT INTO pins (`+pinColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1)
			ON CONFLICT DO NOTHING`,
			name(p.Server), name(p.Kind), name(p.Name), name(p.Hash), p.Definition, p.State, p.By, p.At, p.Created)
	}
	return t.must(ctx, store.ErrConflict, `UPDATE pins SET definition = $1, state = $2, decided_by = $3, at = $4, version = version + 1
		WHERE server = $5 AND kind = $6 AND name = $7 AND hash = $8 AND version = $9`,
		p.Definition, p.State, p.By, p.At, name(p.Server), name(p.Kind), name(p.Name), name(p.Hash), p.Version)
}

func (d pins) List(ctx context.Context, server string) ([]store.Pin, error) {
	const order = ` ORDER BY server, kind, name, created, hash`
	if server == "" {
		return many(ctx, d.database, readPin, `SELECT `+pinColumns+` FROM pins`+order)
	}
	return many(ctx, d.database, readPin, `SELECT `+pinColumns+` FROM pins WHERE server = $1`+order, server)
}

func (d pins) Remove(ctx context.Context, p store.Pin) error {
	return d.write(ctx, func(t *transaction) error {
		t.changed("pins", p.Server)
		return t.must(ctx, store.ErrNotFound, `DELETE FROM pins WHERE server = $1 AND kind = $2 AND name = $3 AND hash = $4`,
			name(p.Server), name(p.Kind), name(p.Name), name(p.Hash))
	})
}
