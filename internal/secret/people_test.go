package secret_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// field is one encrypted field of a row, as a server that keeps data about people
// would have it.
type field struct {
	at     secret.Place
	plain  string
	sealed []byte
}

// TestWhatIsKeptAboutPeople is what a server that keeps contexts does with a Box:
// fields of several rows and versions, a history, a rotation after which each is
// sealed anew when it is read, and the erasure of one of two people.
func TestWhatIsKeptAboutPeople(t *testing.T) {
	ctx := t.Context()
	s, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	local, err := secret.NewLocal(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	box := secret.NewBox(local, s.DataKeys, nil)
	people := map[string][]field{"user:ada": nil, "user:bob": nil}
	for who := range people {
		for version := range int64(3) { // the last is current, the others are history
			for _, column := range []string{"preferences", "demographics", "custom_attributes"} {
				people[who] = append(people[who], field{
					at:    secret.Place{Table: "contexts", Row: who + "/main", Column: column, Version: version},
					plain: fmt.Sprintf(`{"%s":"%s in version %d"}`, column, who, version),
				})
			}
		}
	}
	for who, fields := range people {
		for i := range fields {
			if fields[i].sealed, err = box.Seal(ctx, who, fields[i].at, []byte(fields[i].plain)); err != nil {
				t.Fatal(err)
			}
		}
	}
	was := secret.KeyOf(people["user:ada"][0].sealed)
	if err := box.Rotate(ctx, "user:ada"); err != nil {
		t.Fatal(err)
	}
	for i, f := range people["user:ada"] {
		plain, old, err := box.Open(ctx, "user:ada", f.at, f.sealed)
		if err != nil || string(plain) != f.plain || !old {
			t.Fatalf("after the rotation %+v is %q, old %v, %v", f.at, plain, old, err)
		}
		if people["user:ada"][i].sealed, err = box.Seal(ctx, "user:ada", f.at, plain); err != nil {
			t.Fatal(err)
		}
	}
	for who, fields := range people {
		for i, f := range fields {
			plain, old, err := box.Open(ctx, who, f.at, f.sealed)
			if err != nil || string(plain) != f.plain || old || who == "user:ada" && secret.KeyOf(f.sealed) == was {
				t.Errorf("of %s %+v is %q, old %v, %v", who, f.at, plain, old, err)
			}
			other := fields[(i+1)%len(fields)]
			if _, _, err := box.Open(ctx, who, other.at, f.sealed); !errors.Is(err, secret.ErrTampered) {
				t.Errorf("what belongs to %+v at %+v: %v, want ErrTampered", f.at, other.at, err)
			}
		}
	}
	if err := box.Erase(ctx, "user:ada"); err != nil {
		t.Fatal(err)
	}
	for who, fields := range people {
		for _, f := range fields {
			if _, _, err := box.Open(ctx, who, f.at, f.sealed); errors.Is(err, secret.ErrErased) != (who == "user:ada") {
				t.Errorf("when ada is erased %s %+v: %v", who, f.at, err)
			}
		}
	}
}
