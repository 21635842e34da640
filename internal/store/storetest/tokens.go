package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

func families(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	f := store.Family{ID: "f1", Subject: "ann", Client: "c", Hash: []byte("one"), Data: []byte(`{"scope":"x"}`), Created: at(0), Expires: at(40)}
	must(t, s.Families.Add(ctx, f))
	is(t, "add an id that is taken", s.Families.Add(ctx, f), store.ErrConflict)
	must(t, s.Families.Rotate(ctx, "f1", []byte("one"), []byte("two")))
	is(t, "rotate with a token that was used", s.Families.Rotate(ctx, "f1", []byte("one"), []byte("three")), store.ErrConflict)
	is(t, "rotate what is not there", s.Families.Rotate(ctx, "f9", []byte("one"), []byte("three")), store.ErrNotFound)
	f.Hash = []byte("two")
	got, err := s.Families.Get(ctx, "f1")
	same(t, "after a rotation", got, err, f)

	must(t, s.Families.Revoke(ctx, "f1", at(3)))
	must(t, s.Families.Revoke(ctx, "f1", at(4)))
	is(t, "rotate what is revoked", s.Families.Rotate(ctx, "f1", []byte("two"), []byte("three")), store.ErrConflict)
	is(t, "revoke what is not there", s.Families.Revoke(ctx, "f9", at(3)), store.ErrNotFound)
	f.Revoked = at(3)
	got, err = s.Families.Get(ctx, "f1")
	same(t, "revoked", got, err, f)

	for _, id := range []string{"f2", "f3"} {
		must(t, s.Families.Add(ctx, store.Family{ID: id, Subject: "ann", Hash: []byte(id), Expires: at(50)}))
	}
	must(t, s.Families.Add(ctx, store.Family{ID: "f4", Subject: "bob", Hash: []byte("4"), Expires: at(50)}))
	n, err := s.Families.RevokeAll(ctx, "ann", at(5))
	same(t, "revoked at once; one was before", n, err, 2)
	n, err = s.Families.Purge(ctx, at(45))
	same(t, "purged", n, err, 1)
	_, err = s.Families.Get(ctx, "f1")
	is(t, "get what was purged", err, store.ErrNotFound)
	other, err := s.Families.Get(ctx, "f4")
	if err != nil || !other.Revoked.IsZero() {
		t.Errorf("another subject's family: got %v revoked %v, want not revoked", err, other.Revoked)
	}
}

func denials(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	must(t, s.Denials.Deny(ctx, "a", at(10)))
	must(t, s.Denials.Deny(ctx, "a", at(20)))
	must(t, s.Denials.Deny(ctx, "a", at(15)))
	must(t, s.Denials.Deny(ctx, "b", at(5)))
	got, err := s.Denials.Denied(ctx, at(10))
	same(t, "denied at 10", got, err, map[string]time.Time{"a": at(20)})

	must(t, s.Denials.Spend(ctx, "code", at(10)))
	is(t, "spend twice", s.Denials.Spend(ctx, "code", at(10)), store.ErrConflict)
	must(t, s.Denials.Spend(ctx, "a", at(12)))
	n, err := s.Denials.Purge(ctx, at(11))
	same(t, "purged: b and code", n, err, 2)
	got, err = s.Denials.Denied(ctx, at(0))
	same(t, "still denied", got, err, map[string]time.Time{"a": at(20)})
	is(t, "spend what is still kept", s.Denials.Spend(ctx, "a", at(12)), store.ErrConflict)
}

func signingKeys(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	list, err := s.SigningKeys.List(ctx)
	same(t, "keys at first", list, err, nil)
	one := store.SigningKey{ID: "1", Algorithm: "EdDSA", Public: []byte("{}"), Private: []byte{7}, Created: at(0), Active: at(1), Expires: at(30)}
	must(t, s.SigningKeys.Add(ctx, one, ""))
	is(t, "add a first one when there is one", s.SigningKeys.Add(ctx, store.SigningKey{ID: "x"}, ""), store.ErrConflict)
	two := store.SigningKey{ID: "2", Algorithm: "ES256", Public: []byte("{}"), Private: []byte{8}, Created: at(10)}
	must(t, s.SigningKeys.Add(ctx, two, "1"))
	is(t, "add after one that is not the newest", s.SigningKeys.Add(ctx, store.SigningKey{ID: "x"}, "1"), store.ErrConflict)
	is(t, "add an id that is taken", s.SigningKeys.Add(ctx, store.SigningKey{ID: "1"}, "2"), store.ErrConflict)
	list, err = s.SigningKeys.List(ctx)
	same(t, "the newest first", list, err, []store.SigningKey{two, one})

	// Of replicas that rotate at once, one does.
	results := make(chan error, 8)
	for i := range cap(results) {
		go func() { results <- s.SigningKeys.Add(ctx, store.SigningKey{ID: "r" + string(rune('0'+i))}, "2") }()
	}
	added := 0
	for range cap(results) {
		if err := <-results; err == nil {
			added++
		} else {
			is(t, "rotate when others do", err, store.ErrConflict)
		}
	}
	if added != 1 {
		t.Errorf("%d of %d added a key after the same newest one, want 1", added, cap(results))
	}
	must(t, s.SigningKeys.Remove(ctx, "1"))
	is(t, "remove what is gone", s.SigningKeys.Remove(ctx, "1"), store.ErrNotFound)
}

func clients(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	id := "https://client.example.org/metadata.json"
	c := store.Client{ID: id, Data: []byte(`{"client_name":"C"}`), Created: at(0), Expires: at(9)}
	must(t, s.Clients.Put(ctx, c))
	is(t, "add twice", s.Clients.Put(ctx, c), store.ErrConflict)
	c.Version, c.Data = 1, []byte("{}")
	must(t, s.Clients.Put(ctx, c))
	is(t, "change an old version", s.Clients.Put(ctx, c), store.ErrConflict)
	c.Version = 2
	got, err := s.Clients.Get(ctx, id)
	same(t, "changed", got, err, c)
	must(t, s.Clients.Put(ctx, store.Client{ID: "z", Data: []byte("{}")}))
	list, err := s.Clients.List(ctx, id, 5)
	same(t, "after the first", list, err, []store.Client{{ID: "z", Data: []byte("{}"), Version: 1}})
	must(t, s.Clients.Remove(ctx, id))
	is(t, "remove what is gone", s.Clients.Remove(ctx, id), store.ErrNotFound)
	_, err = s.Clients.Get(ctx, id)
	is(t, "get what is gone", err, store.ErrNotFound)
}

func consents(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	c := store.Consent{Subject: "ann", Client: "c", Redirect: "http://127.0.0.1/cb", Scopes: []string{"a", "b"}, Granted: at(0), Expires: at(30)}
	must(t, s.Consents.Put(ctx, c))
	c.Scopes = []string{"a"}
	must(t, s.Consents.Put(ctx, c))
	other := store.Consent{Subject: "ann", Client: "c", Redirect: "http://127.0.0.1/other", Granted: at(1)}
	must(t, s.Consents.Put(ctx, other))
	must(t, s.Consents.Put(ctx, store.Consent{Subject: "bob", Client: "c", Redirect: "http://127.0.0.1/cb"}))
	got, err := s.Consents.Get(ctx, "ann", "c", "http://127.0.0.1/cb")
	same(t, "the last word", got, err, c)
	list, err := s.Consents.List(ctx, "ann")
	same(t, "all of ann", list, err, []store.Consent{c, other})
	must(t, s.Consents.Remove(ctx, "ann", "c"))
	is(t, "remove what is gone", s.Consents.Remove(ctx, "ann", "c"), store.ErrNotFound)
	_, err = s.Consents.Get(ctx, "ann", "c", "http://127.0.0.1/cb")
	is(t, "get what was taken back", err, store.ErrNotFound)
	_, err = s.Consents.Get(ctx, "bob", "c", "http://127.0.0.1/cb")
	same(t, "what another allowed", err, nil, nil)
}

func pins(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	pin := func(server, name, hash string, created int) store.Pin {
		return store.Pin{Server: server, Kind: "tool", Name: name, Hash: hash, Definition: []byte(`{"name":"` + name + `"}`), State: "pending",
			At: at(created), Created: at(created)}
	}
	a, b, c := pin("s1", "read", "h2", 0), pin("s1", "read", "h1", 1), pin("s2", "read", "h1", 0)
	must(t, s.Pins.Put(ctx, b, a, c))
	for _, p := range []*store.Pin{&a, &b, &c} {
		p.Version = 1
	}
	list, err := s.Pins.List(ctx, "")
	same(t, "all, by server and creation", list, err, []store.Pin{a, b, c})

	fresh := pin("s2", "write", "h1", 2)
	is(t, "put of which one exists", s.Pins.Put(ctx, fresh, pin("s2", "read", "h1", 5)), store.ErrConflict)
	old := a
	a.State, a.By, a.At = "approved", "ann", at(7)
	must(t, s.Pins.Put(ctx, a))
	a.Version = 2
	is(t, "put of which one has another version", s.Pins.Put(ctx, fresh, old), store.ErrConflict)
	list, err = s.Pins.List(ctx, "s1")
	same(t, "of one server", list, err, []store.Pin{a, b})
	list, err = s.Pins.List(ctx, "s2")
	same(t, "nothing of what was refused", list, err, []store.Pin{c})
	must(t, s.Pins.Remove(ctx, b))
	is(t, "remove what is gone", s.Pins.Remove(ctx, b), store.ErrNotFound)
}

func credentials(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	c := store.Credential{Principal: "ann", Issuer: "https://as.example.org", Ciphertext: []byte{0, 1}, Key: "k", Expires: at(9), Updated: at(0)}
	must(t, s.Credentials.Put(ctx, c))
	is(t, "add twice", s.Credentials.Put(ctx, c), store.ErrConflict)
	c.Version, c.Ciphertext = 1, []byte{2}
	must(t, s.Credentials.Put(ctx, c))
	is(t, "change an old version", s.Credentials.Put(ctx, c), store.ErrConflict)
	c.Version = 2
	got, err := s.Credentials.Get(ctx, "ann", c.Issuer)
	same(t, "changed", got, err, c)

	// More than a page, with principals that begin alike.
	const each = 260
	for i := range each {
		for _, principal := range []string{"ann1", "ann2"} {
			must(t, s.Credentials.Put(ctx, store.Credential{Principal: principal, Issuer: "i" + string(rune('a'+i)), Ciphertext: []byte{1}}))
		}
	}
	count, last := map[string]int{}, store.Credential{}
	for c, err := range s.Credentials.All(ctx, "") {
		must(t, err)
		if c.Principal < last.Principal || c.Principal == last.Principal && c.Issuer <= last.Issuer {
			t.Fatalf("%s %s came after %s %s", c.Principal, c.Issuer, last.Principal, last.Issuer)
		}
		count[c.Principal]++
		last = c
	}
	same(t, "everybody's", count, nil, map[string]int{"ann": 1, "ann1": each, "ann2": each})
	n := 0
	for _, err := range s.Credentials.All(ctx, "ann1") {
		must(t, err)
		if n++; n == 250 {
			break
		}
	}
	n, err = s.Credentials.RemoveAll(ctx, "ann1")
	same(t, "removed", n, err, each)
	must(t, s.Credentials.Remove(ctx, "ann", c.Issuer))
	is(t, "remove what is gone", s.Credentials.Remove(ctx, "ann", c.Issuer), store.ErrNotFound)
	n = 0
	for _, err := range s.Credentials.All(ctx, "") {
		must(t, err)
		n++
	}
	same(t, "left", n, nil, each)
}

func dataKeys(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	_, err := s.DataKeys.Newest(ctx, "ann")
	is(t, "newest of none", err, store.ErrNotFound)
	one := store.DataKey{Subject: "ann", ID: "9", Wrapped: bytes.Repeat([]byte{1}, 60), Wrapper: "kek1", Created: at(0)}
	two := store.DataKey{Subject: "ann", ID: "10", Wrapped: []byte{2}, Wrapper: "kek1", Created: at(0)}
	for _, k := range []store.DataKey{one, two, {Subject: "bob", ID: "1", Wrapped: []byte{3}}} {
		must(t, s.DataKeys.Put(ctx, k))
	}
	is(t, "add twice", s.DataKeys.Put(ctx, one), store.ErrConflict)
	one.Version, one.Wrapped, one.Wrapper = 1, []byte{4}, "kek2"
	must(t, s.DataKeys.Put(ctx, one))
	is(t, "wrap an old version anew", s.DataKeys.Put(ctx, one), store.ErrConflict)
	one.Version, two.Version = 2, 1
	got, err := s.DataKeys.Get(ctx, "ann", "9")
	same(t, "wrapped anew", got, err, one)
	got, err = s.DataKeys.Newest(ctx, "ann")
	same(t, "the one added last", got, err, two)
	var all []string
	for k, err := range s.DataKeys.All(ctx) {
		must(t, err)
		all = append(all, k.Subject+k.ID)
	}
	same(t, "all, by subject and id", all, nil, []string{"ann10", "ann9", "bob1"})
	n, err := s.DataKeys.Remove(ctx, "ann")
	same(t, "removed", n, err, 2)
	n, err = s.DataKeys.Remove(ctx, "ann")
	same(t, "removed again", n, err, 0)
	_, err = s.DataKeys.Get(ctx, "ann", "9")
	is(t, "get what was removed", err, store.ErrNotFound)
}
