package secret_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var passphrase = secret.NewValue([]byte("correct horse battery staple"))

// memory keeps data keys in memory.
type memory struct {
	mu   sync.Mutex // guards rows
	rows []store.DataKey
}

var _ store.DataKeys = (*memory)(nil)

func (m *memory) Put(_ context.Context, k store.DataKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.rows, func(r store.DataKey) bool { return r.Subject == k.Subject && r.ID == k.ID })
	k.Version++
	switch {
	case i < 0 && k.Version == 1:
		m.rows = append(m.rows, k)
	case i < 0 || m.rows[i].Version != k.Version-1:
		return store.ErrConflict
	default:
		m.rows[i] = k
	}
	return nil
}

func (m *memory) Get(_ context.Context, subject, id string) (store.DataKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.Subject == subject && r.ID == id {
			return r, nil
		}
	}
	return store.DataKey{}, store.ErrNotFound
}

func (m *memory) Newest(_ context.Context, subject string) (store.DataKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range slices.Backward(m.rows) {
		if r.Subject == subject {
			return r, nil
		}
	}
	return store.DataKey{}, store.ErrNotFound
}

func (m *memory) All(context.Context) iter.Seq2[store.DataKey, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows := slices.SortedFunc(slices.Values(m.rows), func(a, b store.DataKey) int {
		return cmp.Or(strings.Compare(a.Subject, b.Subject), strings.Compare(a.ID, b.ID))
	})
	return func(yield func(store.DataKey, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (m *memory) Remove(_ context.Context, subject string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := len(m.rows)
	m.rows = slices.DeleteFunc(m.rows, func(r store.DataKey) bool { return r.Subject == subject })
	return was - len(m.rows), nil
}

// box gives a Box with a key file of its own, and what it is made of.
func box(t testing.TB) (*secret.Box, *memory, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.age")
	if err := secret.CreateQuickKeyFile(path, passphrase); err != nil {
		t.Fatal(err)
	}
	keys := &memory{}
	return secret.NewBox(opened(t, path), keys, nil), keys, path
}

func opened(t testing.TB, path string) *secret.KeyFile {
	t.Helper()
	k, err := secret.OpenKeyFile(path, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var place = secret.Place{Table: "credentials", Row: "ada\x00github", Column: "token", Version: 3}

func TestWhatWasSealedForOnePlaceOpensThereAlone(t *testing.T) {
	b, _, _ := box(t)
	ctx := context.Background()
	plain := []byte("gho_something")
	sealed, err := b.Seal(ctx, "ada", place, plain)
	if err != nil || bytes.Contains(sealed, plain) {
		t.Fatalf("Seal gives %q, %v", sealed, err)
	}
	if got, old, err := b.Open(ctx, "ada", place, sealed); !bytes.Equal(got, plain) || old || err != nil {
		t.Fatalf("Open gives %q, %v, %v", got, old, err)
	}
	if _, err := b.Seal(ctx, "bob", place, plain); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]secret.Place{
		"another table":   {Table: "consents", Row: place.Row, Column: place.Column, Version: 3},
		"another row":     {Table: place.Table, Row: "ada\x00gitlab", Column: place.Column, Version: 3},
		"another column":  {Table: place.Table, Row: place.Row, Column: "refresh", Version: 3},
		"another version": {Table: place.Table, Row: place.Row, Column: place.Column, Version: 4},
		"moved bytes":     {Table: place.Table + "a", Row: place.Row[1:], Column: place.Column, Version: 3},
	} {
		if got, _, err := b.Open(ctx, "ada", at, sealed); !errors.Is(err, secret.ErrTampered) {
			t.Errorf("%s: Open gives %q, %v, want ErrTampered", name, got, err)
		}
	}
	if got, _, err := b.Open(ctx, "bob", place, sealed); !errors.Is(err, secret.ErrErased) {
		t.Errorf("another subject: Open gives %q, %v, want ErrErased", got, err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if got, _, err := b.Open(ctx, "ada", place, bad); err == nil {
			t.Errorf("with a bit of byte %d changed Open gives %q", i, got)
		}
		if got, _, err := b.Open(ctx, "ada", place, sealed[:i]); err == nil {
			t.Errorf("cut to %d bytes Open gives %q", i, got)
		}
	}
	for _, subject := range []string{"", "dragoman/index"} {
		if _, err := b.Seal(ctx, subject, place, plain); err == nil {
			t.Errorf("subject %q is taken", subject)
		}
	}
}

func TestNoncesAreNotUsedTwice(t *testing.T) {
	b, _, _ := box(t)
	seen := make(map[string]bool)
	for range 1 << 14 {
		sealed, err := b.Seal(context.Background(), "ada", place, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		start := 2 + len(secret.KeyOf(sealed))
		nonce := string(sealed[start : start+24])
		if seen[nonce] {
			t.Fatal("a nonce came twice")
		}
		seen[nonce] = true
	}
}

func TestRotationAndRewrappingWhileInUse(t *testing.T) {
	b, keys, path := box(t)
	ctx := context.Background()
	first, err := b.Seal(ctx, "ada", place, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Rotate(ctx, "ada"); err != nil {
		t.Fatal(err)
	}
	second, err := b.Seal(ctx, "ada", place, []byte("x"))
	if err != nil || secret.KeyOf(first) == secret.KeyOf(second) {
		t.Fatalf("after Rotate the key is %q, as before (%v)", secret.KeyOf(second), err)
	}
	for sealed, old := range map[string]bool{string(first): true, string(second): false} {
		if _, is, err := b.Open(ctx, "ada", place, []byte(sealed)); is != old || err != nil {
			t.Errorf("Open says old %v, %v, want %v", is, err, old)
		}
	}
	for i := range 20 {
		if _, err := b.Seal(ctx, fmt.Sprint("subject", i), place, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := secret.RotateQuickKeyFile(path, passphrase); err != nil {
		t.Fatal(err)
	}
	next := secret.NewBox(opened(t, path), keys, nil)
	var busy sync.WaitGroup
	stop := make(chan struct{})
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, _, err := next.Open(ctx, "ada", place, first); err != nil {
				t.Error(err)
				return
			}
			next.Forget("")
		}
	})
	n, err := next.Rewrap(ctx)
	close(stop)
	busy.Wait()
	if n != 22 || err != nil {
		t.Errorf("Rewrap gives %d, %v, want 22", n, err)
	}
	if n, err := next.Rewrap(ctx); n != 0 || err != nil {
		t.Errorf("a second Rewrap gives %d, %v", n, err)
	}
	id, _ := opened(t, path).Current(ctx)
	for row := range keys.All(ctx) {
		if row.Wrapper != id {
			t.Errorf("data key %s is still wrapped by %s", row.ID, row.Wrapper)
		}
	}
	if _, _, err := next.Open(ctx, "ada", place, first); err != nil {
		t.Error(err)
	}
	b.Forget("")
	if _, _, err := b.Open(ctx, "ada", place, first); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("with the old key file alone Open gives %v, want ErrUnknownKey", err)
	}
}

func TestErasureReachesEveryReplicaInFiveSeconds(t *testing.T) {
	_, keys, path := box(t)
	now := time.Unix(1e9, 0)
	clock := func() time.Time { return now }
	here, there := secret.NewBox(opened(t, path), keys, clock), secret.NewBox(opened(t, path), keys, clock)
	ctx := context.Background()
	sealed, err := here.Seal(ctx, "ada", place, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := there.Open(ctx, "ada", place, sealed); err != nil {
		t.Fatal(err)
	}
	if err := here.Erase(ctx, "ada"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := here.Open(ctx, "ada", place, sealed); !errors.Is(err, secret.ErrErased) {
		t.Errorf("here Open gives %v at once, want ErrErased", err)
	}
	now = now.Add(5 * time.Second)
	if _, _, err := there.Open(ctx, "ada", place, sealed); !errors.Is(err, secret.ErrErased) {
		t.Errorf("on another replica Open gives %v after 5 s, want ErrErased", err)
	}
	if len(keys.rows) != 0 {
		t.Errorf("Open made a key for a subject that was erased: %v", keys.rows)
	}
	again, err := there.Seal(ctx, "ada", place, []byte("y"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := here.Open(ctx, "ada", place, again); string(got) != "y" || err != nil {
		t.Errorf("what came after the erasure: %q, %v", got, err)
	}
}

func TestADataKeyCannotBeGivenToAnotherSubject(t *testing.T) {
	b, keys, path := box(t)
	ctx := context.Background()
	sealed, err := b.Seal(ctx, "ada", place, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	keys.rows[0].Subject = "eve"
	if _, _, err := secret.NewBox(opened(t, path), keys, nil).Open(ctx, "eve", place, sealed); !errors.Is(err, secret.ErrTampered) {
		t.Errorf("Open gives %v, want ErrTampered", err)
	}
}

func TestTheBlindIndex(t *testing.T) {
	b, keys, path := box(t)
	ctx := context.Background()
	other := secret.NewBox(opened(t, path), keys, nil)
	index := func(b *secret.Box, table, column, value string) string {
		t.Helper()
		sum, err := b.Index(ctx, table, column, []byte(value))
		if err != nil || len(sum) != 32 {
			t.Fatalf("Index gives %x, %v", sum, err)
		}
		return string(sum)
	}
	a := index(b, "users", "email", "ada@example.org")
	if a != index(other, "users", "email", "ada@example.org") {
		t.Error("two replicas disagree")
	}
	for _, not := range []string{index(b, "users", "name", "ada@example.org"), index(b, "user", "semail", "ada@example.org"),
		index(b, "users", "email", "ada@example.com")} {
		if a == not {
			t.Error("two values or columns have one digest")
		}
	}
	fresh, _, _ := box(t)
	if a == index(fresh, "users", "email", "ada@example.org") {
		t.Error("another installation has the same digest")
	}
}

func TestAKeyFileIsItsOwnersAlone(t *testing.T) {
	_, _, path := box(t)
	if _, err := secret.OpenKeyFile(path, secret.NewValue([]byte("not the passphrase"))); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("with another passphrase: %v", err)
	}
	for _, mode := range []os.FileMode{0o644, 0o640, 0o660, 0o602} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.OpenKeyFile(path, passphrase); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := secret.CreateKeyFile(path, passphrase); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key file was made over another: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(text, []byte("age-encryption.org/v1\n-> scrypt ")) {
		t.Errorf("the file begins %.40q, %v", text, err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.OpenKeyFile(path, passphrase); err == nil {
		t.Error("a changed key file is read")
	}
	if _, err := secret.OpenKeyFile(t.TempDir(), passphrase); err == nil {
		t.Error("a directory is read")
	}
}

func TestAKeyFileOfFullStrength(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.age")
	if err := secret.CreateKeyFile(path, passphrase); err != nil {
		t.Fatal(err)
	}
	before, _ := opened(t, path).Current(context.Background())
	if err := secret.RotateKeyFile(path, passphrase); err != nil {
		t.Fatal(err)
	}
	if after, _ := opened(t, path).Current(context.Background()); before == after {
		t.Errorf("after rotation the key is still %s", after)
	}
}

func TestAValueIsNeverShown(t *testing.T) {
	const text = "hunter2-hunter2"
	v := secret.NewValue([]byte(text))
	type hidden struct {
		inner secret.Value
		Outer secret.Value
		list  []secret.Value
		m     map[string]secret.Value
		p     *secret.Value
	}
	h := hidden{v, v, []secret.Value{v}, map[string]secret.Value{"k": v}, &v}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%t", "%08b"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", &h)
	}
	fmt.Fprintln(&out, v, h, &h, errors.New(v.String()))
	for _, log := range []*slog.Logger{slog.New(slog.NewJSONHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil))} {
		log.Info("x", "v", v, "h", h, "p", &h, slog.Group("g", "v", &v))
	}
	j, err := json.Marshal(map[string]any{"v": v, "h": h, "p": &v})
	out.Write(j)
	y, err2 := yaml.Marshal(map[string]any{"v": v, "h": h})
	out.Write(y)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewEncoder(&out).Encode(v); err == nil {
		t.Error("gob encodes it")
	}
	for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), fmt.Sprint([]byte(text))} {
		if strings.Contains(out.String(), strings.Trim(form, "[]")) {
			t.Errorf("%q is in what was printed:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing says that there is a secret")
	}
	if string(v.Reveal()) != text || !v.Equal(secret.NewValue([]byte(text))) || v.Equal(secret.NewValue([]byte("x"))) || v.IsZero() {
		t.Error("the value is not what it was made of")
	}
	same := v
	v.Destroy()
	if !same.IsZero() || !(secret.Value{}).IsZero() || (secret.Value{}).String() != "" {
		t.Error("a destroyed value is not empty")
	}
}

func BenchmarkBox(b *testing.B) {
	x, _, _ := box(b)
	ctx := context.Background()
	plain := make([]byte, 1024)
	for i := range plain {
		plain[i] = byte(rand.IntN(256))
	}
	sealed, err := x.Seal(ctx, "ada", place, plain)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal 1 KiB", func(b *testing.B) {
		for b.Loop() {
			_, _ = x.Seal(ctx, "ada", place, plain)
		}
	})
	b.Run("open 1 KiB", func(b *testing.B) {
		for b.Loop() {
			_, _, _ = x.Open(ctx, "ada", place, sealed)
		}
	})
}
