package keys_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/keys"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// FuzzIdentify wants that nothing but the key that was made lets anybody in, and
// that whatever else comes is refused as what it is.
func FuzzIdentify(f *testing.F) {
	s, err := sqlite.Open(f.Context(), filepath.Join(f.TempDir(), "state.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	k := keys.New(s, keys.Options{})
	secret, key, err := k.Create(f.Context(), keys.Wanted{Name: "ci"})
	if err != nil {
		f.Fatal(err)
	}
	whole := secret.Reveal()
	for _, seed := range []string{whole, whole[:len(whole)-9], key.ID, "drg_", "Bearer " + whole, "drg_'; DROP TABLE keys; --"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, credential string, sealed bool) {
		if sealed { // past the check, with this as secret
			credential = keys.Sealed(key.ID, credential)
		}
		_, err := k.Identify(t.Context(), credential)
		switch {
		case credential == whole:
			if err != nil {
				t.Errorf("the key itself: %v", err)
			}
		case !errors.Is(err, auth.ErrInvalid) && !errors.Is(err, auth.ErrForeign):
			t.Errorf("%q: got %v, want a refusal", credential, err)
		}
	})
}
