package users

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a password. The lower one is what NIST SP 800-63B asks of passwords
// that are all there is, less the little that lock-out makes up for; what it is
// made of is nobody's business.
const (
	minPassword = 12
	maxPassword = 1024
)

// What every new hash costs: the first of the choices that RFC 9106 and OWASP give
// for Argon2id when memory is short. One takes about 20 ms and 19 MiB.
const (
	hashMemory  = 19 << 10 // KiB
	hashPasses  = 2
	hashThreads = 1
	saltBytes   = 16
	hashBytes   = 32
)

// Most of what a stored hash may ask for, so that a row in a database cannot use
// up the memory of the process.
const (
	maxHashMemory  = 256 << 10 // KiB
	maxHashPasses  = 16
	maxHashThreads = 16
)

// hash is a password's hash with what it was made with.
type hash struct {
	memory, passes uint32
	threads        uint8
	salt, sum      []byte
}

var errHash = errors.New("stored password hash is not one of Argon2id, version 19")

// newHash hashes a password with a salt of its own.
func newHash(password string) hash {
	h := hash{memory: hashMemory, passes: hashPasses, threads: hashThreads, salt: make([]byte, saltBytes)}
	_, _ = rand.Read(h.salt) // never fails
	h.sum = h.of(password, hashBytes)
	return h
}

// of hashes a password with the same salt and cost. Characters that can be typed
// in more than one way are made one (RFC 8265, 4.2).
func (h hash) of(password string, size uint32) []byte {
	return argon2.IDKey([]byte(norm.NFC.String(password)), h.salt, h.passes, h.memory, h.threads, size)
}

func (h hash) is(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password, uint32(len(h.sum))), h.sum) == 1
}

// dated says whether a hash costs other than new ones.
func (h hash) dated() bool {
	return h.memory != hashMemory || h.passes != hashPasses || h.threads != hashThreads || len(h.sum) != hashBytes
}

// String writes the PHC form, as it is stored.
func (h hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.sum))
}

func parseHash(text string) (h hash, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return hash{}, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.threads); err != nil {
		return hash{}, errHash
	}
	if h.memory > maxHashMemory || h.passes == 0 || h.passes > maxHashPasses || h.threads == 0 || h.threads > maxHashThreads {
		return hash{}, errors.New("stored password hash costs too much to check")
	}
	var errs [2]error
	h.salt, errs[0] = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.sum, errs[1] = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errors.Join(errs[:]...) != nil || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 || h.String() != text {
		return hash{}, errHash
	}
	return h, nil
}

// checkPassword says what is wrong with a new password.
func checkPassword(user, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return errors.New("the password is not text: type it anew")
	case n < minPassword:
		return fmt.Errorf("the password has %d characters: use at least %d, for example four words", n, minPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("the password has %d bytes: use at most %d", len(password), maxPassword)
	case strings.Contains(strings.ToLower(password), user) && n < 2*minPassword:
		return errors.New("the password contains the user's name: choose another")
	case repeats(password):
		return errors.New("the password is the same few characters over and over: choose another")
	}
	return nil
}

// repeats finds passwords of three different characters or less.
func repeats(password string) bool {
	seen := map[rune]bool{}
	for _, r := range password {
		seen[r] = true
	}
	return len(seen) <= 3
}
