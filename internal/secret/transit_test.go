package secret_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// engine is a transit engine as its documentation describes it: the paths, bodies
// and statuses that a client meets. It is not Vault.
type engine struct {
	*httptest.Server
	mu     sync.Mutex // guards what follows
	keys   []cipher.AEAD
	fault  func(w http.ResponseWriter) bool
	asked  map[string]int
	header http.Header
}

func newEngine(t *testing.T) *engine {
	e := &engine{asked: make(map[string]int)}
	e.rotate()
	e.Server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.Close)
	return e
}

func (e *engine) rotate() {
	e.mu.Lock()
	defer e.mu.Unlock()
	block, err := aes.NewCipher(bytes.Repeat([]byte{byte(len(e.keys) + 1)}, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	e.keys = append(e.keys, aead)
}

func (e *engine) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.header = r.Header
	path := strings.TrimPrefix(r.URL.Path, "/v1/transit/")
	e.asked[strings.SplitN(path, "/", 2)[0]]++
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	fail := func(status int, text string) { answer(status, map[string]any{"errors": []string{text}}) }
	if e.fault != nil && e.fault(w) {
		return
	}
	if r.Header.Get("X-Vault-Token") != "s.token" {
		fail(http.StatusForbidden, "permission denied")
		return
	}
	var body struct{ Plaintext, Ciphertext, About string }
	var raw map[string]string
	_ = json.NewDecoder(r.Body).Decode(&raw)
	body.Plaintext, body.Ciphertext, body.About = raw["plaintext"], raw["ciphertext"], raw["associated_data"]
	about, _ := base64.StdEncoding.DecodeString(body.About)
	switch path {
	case "keys/dragoman":
		answer(http.StatusOK, map[string]any{"data": map[string]any{"latest_version": len(e.keys), "type": "aes256-gcm96"}})
	case "encrypt/dragoman":
		plain, err := base64.StdEncoding.DecodeString(body.Plaintext)
		if err != nil {
			fail(http.StatusBadRequest, "failed to base64-decode plaintext")
			return
		}
		sealed := e.keys[len(e.keys)-1].Seal(nil, nil, plain, about)
		answer(http.StatusOK, map[string]any{"data": map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", len(e.keys), base64.StdEncoding.EncodeToString(sealed))}})
	case "decrypt/dragoman":
		parts := strings.SplitN(body.Ciphertext, ":", 3)
		version, err := strconv.Atoi(strings.TrimPrefix(parts[min(1, len(parts)-1)], "v"))
		if err != nil || len(parts) != 3 || version > len(e.keys) {
			fail(http.StatusBadRequest, "invalid ciphertext: no prefix")
			return
		}
		sealed, _ := base64.StdEncoding.DecodeString(parts[2])
		plain, err := e.keys[version-1].Open(nil, nil, sealed, about)
		if err != nil {
			fail(http.StatusBadRequest, "cipher: message authentication failed")
			return
		}
		answer(http.StatusOK, map[string]any{"data": map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}})
	default:
		fail(http.StatusNotFound, "no handler for route")
	}
}

func (e *engine) set(fault func(http.ResponseWriter) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = fault
}

func (e *engine) wrapper(key, token string) *secret.Transit {
	return secret.NewTransit(secret.TransitOptions{
		URL: e.URL + "/", Mount: "/transit/", Key: key, Namespace: "platform", Token: func() (string, error) { return token, nil },
		Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
}

func TestDataKeysAreWrappedByATransitEngine(t *testing.T) {
	e := newEngine(t)
	ctx, w := t.Context(), e.wrapper("dragoman", "s.token")
	key, about := bytes.Repeat([]byte{7}, 32), []byte("row 1")
	wrapped, id, err := w.Wrap(ctx, key, about)
	if err != nil || id != "transit/transit/dragoman/1" || bytes.Contains(wrapped, key) {
		t.Fatalf("wrapped %q with %s, %v", wrapped, id, err)
	}
	if current, err := w.Current(ctx); err != nil || current != id {
		t.Errorf("the current key is %s, %v, want %s", current, err, id)
	}
	if got, err := w.Unwrap(ctx, id, wrapped, about); err != nil || !bytes.Equal(got, key) {
		t.Errorf("unwrapped %x, %v", got, err)
	}
	if _, err := w.Unwrap(ctx, id, wrapped, []byte("row 2")); !errors.Is(err, secret.ErrTampered) {
		t.Errorf("for another row: %v, want ErrTampered", err)
	}
	if _, err := w.Unwrap(ctx, "file-abc", wrapped, about); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("a key of somebody else: %v, want ErrUnknownKey", err)
	}
	if e.header.Get("X-Vault-Namespace") != "platform" || e.header.Get("X-Vault-Request") != "true" {
		t.Errorf("headers %v", e.header)
	}
}

func TestWhatATransitEngineDoesNotDoIsSaid(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	for _, c := range []struct{ name, key, token, want string }{
		{"a wrong token", "dragoman", "s.wrong", "refuses the token"},
		{"another key", "other", "s.token", "no such engine or key"},
	} {
		if _, _, err := e.wrapper(c.key, c.token).Wrap(ctx, []byte("x"), nil); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s.") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	wrapped, id, err := e.wrapper("dragoman", "s.token").Wrap(ctx, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.wrapper("dragoman", "s.wrong").Unwrap(ctx, id, wrapped, nil); err == nil || errors.Is(err, secret.ErrTampered) || errors.Is(err, secret.ErrErased) {
		t.Errorf("with a wrong token a data key is %v: it says nothing about the key", err)
	}
}

// TestARefusalThatIsAboutTheKeyIsNotTakenForDamage has the words of HashiCorp Vault
// 1.21.4 for what it does not decrypt.
func TestARefusalThatIsAboutTheKeyIsNotTakenForDamage(t *testing.T) {
	for words, damaged := range map[string]bool{
		"cipher: message authentication failed":                             true,
		"invalid ciphertext: version is too new":                            false, // a key that was made anew, or put back from a backup
		"ciphertext or signature version is disallowed by policy (too old)": false,
		"encryption key not found":                                          false,
		"'[0].associated_data' provided for non-AEAD cipher suite rsa-2048": false,
		"missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key": false,
	} {
		e := newEngine(t)
		w := e.wrapper("dragoman", "s.token")
		wrapped, id, err := w.Wrap(t.Context(), []byte("x"), nil)
		if err != nil {
			t.Fatal(err)
		}
		e.set(func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string][]string{"errors": {words}})
			return true
		})
		_, err = w.Unwrap(t.Context(), id, wrapped, nil)
		if err == nil || errors.Is(err, secret.ErrTampered) != damaged || !strings.Contains(err.Error(), words[:20]) {
			t.Errorf("%s: got %v, want its words, and that the ciphertext is damaged: %v", words, err, damaged)
		}
	}
}

func TestATransitEngineThatIsSealedForAMomentIsAskedAgain(t *testing.T) {
	e := newEngine(t)
	left := 2
	e.set(func(w http.ResponseWriter) bool {
		left--
		if left >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return left >= 0
	})
	if _, _, err := e.wrapper("dragoman", "s.token").Wrap(t.Context(), []byte("x"), nil); err != nil {
		t.Errorf("after two answers that it is sealed: %v", err)
	}
	e.set(func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusServiceUnavailable); return true })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := e.wrapper("dragoman", "s.token").Wrap(ctx, []byte("x"), nil); err == nil {
		t.Error("nobody waits any more, and it says that all is well")
	}
}

// The master key moves from this machine to the engine, and there to another
// version, while everything stays readable; and the engine is not asked for each use.
func TestTheMasterKeyMovesToATransitEngine(t *testing.T) {
	e := newEngine(t)
	state := newState(t)
	local, err := secret.NewLocal(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	ctx, at := t.Context(), secret.Place{Table: "t", Row: "r", Column: "c", Version: 1}
	before := secret.NewBox(local, state.DataKeys, nil)
	sealed, err := before.Seal(ctx, "user:alice", at, []byte("what is kept"))
	if err != nil {
		t.Fatal(err)
	}
	readable := func(what string, b *secret.Box) {
		t.Helper()
		if got, _, err := b.Open(ctx, "user:alice", at, sealed); err != nil || string(got) != "what is kept" {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	both := secret.NewBox(secret.Among{e.wrapper("dragoman", "s.token"), local}, state.DataKeys, nil)
	readable("before it has moved", both)
	if n, err := both.Rewrap(ctx); n != 1 || err != nil {
		t.Fatalf("%d keys were encrypted anew, %v, want 1", n, err)
	}
	alone := secret.NewBox(secret.Among{e.wrapper("dragoman", "s.token")}, state.DataKeys, nil)
	readable("when it has moved", alone)
	e.rotate()
	again := secret.NewBox(secret.Among{e.wrapper("dragoman", "s.token")}, state.DataKeys, nil)
	if n, err := again.Rewrap(ctx); n != 1 || err != nil {
		t.Errorf("after a rotation in the engine %d keys were encrypted anew, %v, want 1", n, err)
	}
	readable("after a rotation in the engine", again)
	asked := e.asked["decrypt"]
	for range 100 {
		readable("many times", again)
	}
	if n := e.asked["decrypt"] - asked; n > 1 {
		t.Errorf("for 100 uses the engine was asked %d times, want at most 1", n)
	}
}

func TestNamedThingsFromBeforeTheBoxCanBeRead(t *testing.T) {
	state := newState(t)
	local, err := secret.NewLocal(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	ctx, box := t.Context(), secret.NewBox(local, state.DataKeys, nil)
	named := box.Named("gateway:signing", reverser{})
	sealed, err := named.Seal(ctx, "key 1", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := named.Open(ctx, "key 1", sealed); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := named.Open(ctx, "key 2", sealed); err == nil {
		t.Error("under another name it can be read")
	}
	if got, err := named.Open(ctx, "key 1", []byte("old:abc")); err != nil || string(got) != "cba" {
		t.Errorf("what was sealed before: %q, %v", got, err)
	}
}

// reverser opens what begins with old.
type reverser struct{}

func (reverser) Open(_ context.Context, _ string, sealed []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(sealed, []byte("old:"))
	if !ok {
		return nil, errors.New("not mine")
	}
	out := make([]byte, len(text))
	for i, b := range text {
		out[len(text)-1-i] = b
	}
	return out, nil
}

func newState(t *testing.T) *store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
