package app_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Signing keys are sealed by the box once there is a key file, and what was sealed
// before it can be read.
func TestSigningKeysGoIntoTheBox(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.age")
	const passphrase = "sixteen characters and more"
	if err := secret.CreateKeyFile(file, secret.NewValue([]byte(passphrase))); err != nil {
		t.Fatal(err)
	}
	section := fmt.Sprintf("secrets: {key_file: %q, passphrase: %q}\n", file, passphrase)
	login := func(t *testing.T, path, secrets string) {
		t.Helper()
		_, _, gateway := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nstate: {path: %q}\nauth: {passwords: {enabled: true}}\nservers: {time: {builtin: time}}\n%s", path, secrets))
		if status, body := form(t, gateway+"/token", url.Values{"username": {"alice"}, "password": {goodPassword}}); status != 200 {
			t.Errorf("alice does not come in: %d %v", status, body)
		}
	}
	sealedBy := func(s *store.Store) string {
		all, err := s.SigningKeys.List(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%d signing keys, %v, want 1", len(all), err)
		}
		return secret.KeyOf(all[0].Private)
	}
	path, _ := people(t)
	t.Run("without a key file", func(t *testing.T) { login(t, path, "") })
	t.Run("with one, of before", func(t *testing.T) { login(t, path, section) })
	fresh, s := people(t)
	t.Run("with one from the start", func(t *testing.T) { login(t, fresh, section) })
	key, err := s.DataKeys.Newest(t.Context(), "gateway:signing")
	if err != nil || sealedBy(s) != key.ID || !strings.HasPrefix(key.Wrapper, "file-") {
		t.Errorf("it is sealed by %q, wrapped by %q, %v, want a data key that the key file wraps", sealedBy(s), key.Wrapper, err)
	}
}

func TestALinkForALoginTakesAnAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for listen, want := range map[string]string{
		"listen: 127.0.0.1:8123": "http://127.0.0.1:8123/oauth/login?link=", "listen: 127.0.0.1:0": "set public_url",
		"listen: 127.0.0.1:0\npublic_url: https://gw.example.org/": "https://gw.example.org/oauth/login?link=",
	} {
		cfg, err := config.Parse("test.yaml", fmt.Appendf(nil, "%s\nstate: {path: %q}\nservers: {notes: {url: \"https://notes.example.org/mcp\", auth: oauth}}\n", listen, path), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		link, err := app.LoginLink(t.Context(), cfg, "notes", "user:alice")
		if got := link + fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%s: %s, %v, want %s", listen, link, err, want)
		}
	}
}
