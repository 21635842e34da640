package secret_test

import (
	"bytes"
	"errors"
	"flag"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/secret"
)

// The address of a transit engine that is there, and its token: the key "dragoman"
// is made in it, and used and rotated.
var (
	transitURL   = flag.String("transit", "", "address of a Vault or OpenBao with a transit engine")
	transitToken = flag.String("transit-token", "root", "its token")
)

func TestATransitEngineThatWeDidNotWrite(t *testing.T) {
	if *transitURL == "" {
		t.Skip("no transit engine was named with -transit")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func(path string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, *transitURL+"/v1/transit/"+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Vault-Token", *transitToken)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode >= 300 {
			t.Fatalf("%s: HTTP %d", path, res.StatusCode)
		}
	}
	open := func(key, token string) *secret.Transit {
		return secret.NewTransit(secret.TransitOptions{
			URL: *transitURL, Mount: "transit", Key: key, Token: func() (string, error) { return token, nil }, Client: client,
		})
	}
	post("keys/dragoman")
	ctx, w := t.Context(), open("dragoman", *transitToken)
	key, about := bytes.Repeat([]byte{7}, 32), []byte("row 1")
	wrapped, id, err := w.Wrap(ctx, key, about)
	if err != nil {
		t.Fatal(err)
	}
	if current, err := w.Current(ctx); err != nil || current != id {
		t.Errorf("the current key is %s, %v, want %s", current, err, id)
	}
	post("keys/dragoman/rotate")
	w = open("dragoman", *transitToken)
	if current, err := w.Current(ctx); err != nil || current == id {
		t.Errorf("after a rotation the current key is %s, %v", current, err)
	}
	if got, err := w.Unwrap(ctx, id, wrapped, about); err != nil || !bytes.Equal(got, key) {
		t.Errorf("after a rotation it is %x, %v", got, err)
	}
	if _, err := w.Unwrap(ctx, id, wrapped, []byte("row 2")); !errors.Is(err, secret.ErrTampered) {
		t.Errorf("for another row: %v, want ErrTampered", err)
	}
	damaged := bytes.Clone(wrapped)
	damaged[len(damaged)-5] ^= 1
	if _, err := w.Unwrap(ctx, id, damaged, about); !errors.Is(err, secret.ErrTampered) {
		t.Errorf("damaged: %v, want ErrTampered", err)
	}
	if _, err := open("dragoman", "wrong").Unwrap(ctx, id, wrapped, about); err == nil || errors.Is(err, secret.ErrTampered) {
		t.Errorf("with a wrong token: %v", err)
	}
	if _, err := open("nothing", *transitToken).Current(ctx); err == nil {
		t.Error("a key that is not there has a version")
	}
	other := strings.Replace(id, "dragoman", "nothing", 1)
	if _, err := open("nothing", *transitToken).Unwrap(ctx, other, wrapped, about); err == nil || errors.Is(err, secret.ErrTampered) {
		t.Errorf("with a key that is not there: %v: it says nothing about the data", err)
	}
}
