package secret

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

const (
	// reserved begins the subjects of the Box's own keys.
	reserved     = "dragoman/"
	indexSubject = reserved + "index"
	// rememberFor is how long a data key is used before it is looked up again, and
	// so how long another replica can read, and write, what was erased here.
	rememberFor = 5 * time.Second
	// maxRemembered bounds the data keys in memory.
	maxRemembered = 4096
	// form is the first byte of a ciphertext: its form, and the algorithm, which
	// is XChaCha20-Poly1305. Its nonces are random: they are long enough.
	form = 1
)

// Place is where a ciphertext belongs. One that was made for another place
// cannot be opened: rows cannot be swapped, nor old contents be put back when the
// version counts up.
type Place struct {
	Table, Row, Column string
	Version            int64
}

// Box seals fields. It may be used concurrently.
type Box struct {
	wrapper Wrapper
	keys    store.DataKeys
	now     func() time.Time

	mu     sync.Mutex // guards known and newest
	known  map[keyName]dataKey
	newest map[string]dataKey // by subject
}

type keyName struct{ subject, id string }

// dataKey is one in memory.
type dataKey struct {
	id    string
	aead  *subtle.XChaCha20Poly1305
	index []byte // the key itself; only of the index
	row   []byte // as it is wrapped in its row
	until time.Time
}

// NewBox makes a Box whose data keys are in keys, wrapped by w. now is the clock;
// time.Now if it is nil.
func NewBox(w Wrapper, keys store.DataKeys, now func() time.Time) *Box {
	if now == nil {
		now = time.Now
	}
	return &Box{wrapper: w, keys: keys, now: now, known: make(map[keyName]dataKey), newest: make(map[string]dataKey)}
}

// Seal encrypts what is known about a subject for one place. The first time, it
// makes a data key for the subject.
func (b *Box) Seal(ctx context.Context, subject string, at Place, plain []byte) ([]byte, error) {
	if err := fine(subject); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	key, err := b.latest(ctx, subject)
	if errors.Is(err, ErrErased) {
		key, err = b.add(ctx, subject)
	}
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	sealed, err := key.aead.Encrypt(plain, about(subject, key.id, at))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	out := append(make([]byte, 0, 2+len(key.id)+len(sealed)), form, byte(len(key.id)))
	return append(append(out, key.id...), sealed...), nil
}

// Open decrypts what Seal has made for the same subject and place. old says that
// there is a newer key by now: whoever writes the row the next time, or now,
// seals it again.
func (b *Box) Open(ctx context.Context, subject string, at Place, sealed []byte) (plain []byte, old bool, err error) {
	id, text, ok := parts(sealed)
	if !ok || fine(subject) != nil {
		return nil, false, fmt.Errorf("open: %w", ErrTampered)
	}
	key, err := b.find(ctx, subject, id)
	if err != nil {
		return nil, false, fmt.Errorf("open: %w", err)
	}
	if plain, err = key.aead.Decrypt(text, about(subject, id, at)); err != nil {
		return nil, false, fmt.Errorf("open: %w", ErrTampered)
	}
	latest, err := b.latest(ctx, subject)
	if err != nil {
		return nil, false, fmt.Errorf("open: %w", err)
	}
	return plain, latest.id != id, nil
}

// KeyOf returns the id of the data key that something was sealed with; empty if
// it was not sealed.
func KeyOf(sealed []byte) string {
	id, _, _ := parts(sealed)
	return id
}

func parts(sealed []byte) (id string, text []byte, ok bool) {
	if len(sealed) < 2 || sealed[0] != form || len(sealed) < 2+int(sealed[1]) {
		return "", nil, false
	}
	end := 2 + int(sealed[1])
	return string(sealed[2:end]), sealed[end:], true
}

func fine(subject string) error {
	if subject == "" || strings.HasPrefix(subject, reserved) {
		return fmt.Errorf("subject %q is empty or reserved", subject)
	}
	return nil
}

// about is what a ciphertext is bound to. Lengths stand before texts, so that no
// two places are written alike.
func about(subject, id string, at Place) []byte {
	out := []byte("dragoman sealed 1")
	for _, text := range [...]string{subject, id, at.Table, at.Row, at.Column} {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(text))), text...)
	}
	return binary.BigEndian.AppendUint64(out, uint64(at.Version))
}

// aboutKey is what a wrapped data key is bound to.
func aboutKey(subject, id string) []byte { return about(subject, id, Place{Table: "data_keys"}) }

// latest returns the newest data key of a subject; ErrErased if there is none.
func (b *Box) latest(ctx context.Context, subject string) (dataKey, error) {
	b.mu.Lock()
	key, ok := b.newest[subject]
	b.mu.Unlock()
	if ok && b.now().Before(key.until) {
		return key, nil
	}
	row, err := b.keys.Newest(ctx, subject)
	if errors.Is(err, store.ErrNotFound) {
		b.Forget(subject)
		return dataKey{}, ErrErased
	}
	if err != nil {
		return dataKey{}, err
	}
	return b.unwrap(ctx, row, true)
}

// find returns a data key by its id.
func (b *Box) find(ctx context.Context, subject, id string) (dataKey, error) {
	b.mu.Lock()
	key, ok := b.known[keyName{subject, id}]
	b.mu.Unlock()
	if ok && b.now().Before(key.until) {
		return key, nil
	}
	row, err := b.keys.Get(ctx, subject, id)
	if errors.Is(err, store.ErrNotFound) {
		b.Forget(subject)
		return dataKey{}, ErrErased
	}
	if err != nil {
		return dataKey{}, err
	}
	return b.unwrap(ctx, row, false)
}

// unwrap unwraps a data key, unless it is in memory from the same row: that it is
// there still is what had to be known.
func (b *Box) unwrap(ctx context.Context, row store.DataKey, newest bool) (dataKey, error) {
	if key, ok := b.extend(row, newest); ok {
		return key, nil
	}
	text, err := b.wrapper.Unwrap(ctx, row.Wrapper, row.Wrapped, aboutKey(row.Subject, row.ID))
	if err != nil {
		return dataKey{}, fmt.Errorf("unwrap data key %s: %w", row.ID, err)
	}
	return b.remember(row, text, newest)
}

// extend uses a data key in memory for another while.
func (b *Box) extend(row store.DataKey, newest bool) (dataKey, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, ok := b.known[keyName{row.Subject, row.ID}]
	if !ok || !bytes.Equal(key.row, row.Wrapped) {
		return dataKey{}, false
	}
	key.until = b.now().Add(rememberFor)
	b.known[keyName{row.Subject, row.ID}] = key
	if newest {
		b.newest[row.Subject] = key
	}
	return key, true
}

func (b *Box) remember(row store.DataKey, text []byte, newest bool) (dataKey, error) {
	subject, id := row.Subject, row.ID
	aead, err := subtle.NewXChaCha20Poly1305(text)
	if err != nil {
		return dataKey{}, err
	}
	key := dataKey{id: id, aead: aead, until: b.now().Add(rememberFor), row: row.Wrapped}
	if subject == indexSubject {
		key.index = text
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) >= maxRemembered {
		clear(b.known)
		clear(b.newest)
	}
	b.known[keyName{subject, id}] = key
	if newest {
		b.newest[subject] = key
	}
	return key, nil
}

// add makes a data key for a subject.
func (b *Box) add(ctx context.Context, subject string) (dataKey, error) {
	text := make([]byte, keySize)
	_, _ = rand.Read(text) // never fails
	id := rand.Text()
	wrapped, by, err := b.wrapper.Wrap(ctx, text, aboutKey(subject, id))
	if err != nil {
		return dataKey{}, fmt.Errorf("wrap data key: %w", err)
	}
	row := store.DataKey{Subject: subject, ID: id, Wrapped: wrapped, Wrapper: by, Created: b.now()}
	if err := b.keys.Put(ctx, row); err != nil {
		return dataKey{}, fmt.Errorf("keep data key: %w", err)
	}
	return b.remember(row, text, true)
}

// Rotate makes a new data key for a subject; what is sealed from now on, here at
// once and on other replicas within 5 s, is sealed with it. What was sealed
// before stays readable.
func (b *Box) Rotate(ctx context.Context, subject string) error {
	if err := fine(subject); err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	if _, err := b.add(ctx, subject); err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	return nil
}

// Erase removes the data keys of a subject: whatever was sealed about it can
// never be read again, here at once, and on other replicas within 5 s. What is
// sealed about it later gets a new key.
func (b *Box) Erase(ctx context.Context, subject string) error {
	if err := fine(subject); err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	defer b.Forget(subject)
	if _, err := b.keys.Remove(ctx, subject); err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	return nil
}

// Forget lets go of the data keys of a subject in memory, of all if it is empty:
// for who hears that they have changed.
func (b *Box) Forget(subject string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if subject == "" {
		clear(b.known)
		clear(b.newest)
		return
	}
	delete(b.newest, subject)
	for name := range b.known {
		if name.subject == subject {
			delete(b.known, name)
		}
	}
}

// Rewrap wraps every data key with the current master key that is wrapped with
// another, and says how many those were. It can be stopped and begun again, on
// several replicas at once, while everything is in use. When it has returned
// without an error, the other master keys are needed for backups only.
func (b *Box) Rewrap(ctx context.Context) (int, error) {
	current, err := b.wrapper.Current(ctx)
	if err != nil {
		return 0, fmt.Errorf("rewrap: %w", err)
	}
	done := 0
	for row, err := range b.keys.All(ctx) {
		if err != nil {
			return done, fmt.Errorf("rewrap: %w", err)
		}
		if row.Wrapper == current {
			continue
		}
		switch err := b.rewrap(ctx, row); {
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound): // somebody else did, or erased it
		case err != nil:
			return done, fmt.Errorf("rewrap data key %s: %w", row.ID, err)
		default:
			done++
		}
	}
	return done, nil
}

func (b *Box) rewrap(ctx context.Context, row store.DataKey) error {
	about := aboutKey(row.Subject, row.ID)
	text, err := b.wrapper.Unwrap(ctx, row.Wrapper, row.Wrapped, about)
	if err != nil {
		return err
	}
	defer clear(text)
	if row.Wrapped, row.Wrapper, err = b.wrapper.Wrap(ctx, text, about); err != nil {
		return err
	}
	return b.keys.Put(ctx, row)
}

// Index returns a keyed digest by which a value of a column can be found without
// being readable: equal values of one column have equal digests, and nothing
// else can be told. It outlives the erasure of a subject: remove it with the row.
func (b *Box) Index(ctx context.Context, table, column string, value []byte) ([]byte, error) {
	key, err := b.indexKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(about("", "", Place{Table: table, Column: column}))
	mac.Write(value)
	return mac.Sum(nil), nil
}

// indexKey is the key of the index. It has a fixed id, so that replicas that begin
// at the same moment agree on one.
func (b *Box) indexKey(ctx context.Context) ([]byte, error) {
	key, err := b.find(ctx, indexSubject, indexID)
	if errors.Is(err, ErrErased) {
		key, err = b.addIndex(ctx)
	}
	return key.index, err
}

// indexID is the one id of the key of the index.
const indexID = "1"

func (b *Box) addIndex(ctx context.Context) (dataKey, error) {
	text := make([]byte, keySize)
	_, _ = rand.Read(text) // never fails
	wrapped, by, err := b.wrapper.Wrap(ctx, text, aboutKey(indexSubject, indexID))
	if err != nil {
		return dataKey{}, fmt.Errorf("wrap data key: %w", err)
	}
	row := store.DataKey{Subject: indexSubject, ID: indexID, Wrapped: wrapped, Wrapper: by, Created: b.now()}
	if err := b.keys.Put(ctx, row); err != nil && !errors.Is(err, store.ErrConflict) {
		return dataKey{}, fmt.Errorf("keep data key: %w", err)
	}
	return b.find(ctx, indexSubject, indexID) // somebody else's, if they were faster
}
