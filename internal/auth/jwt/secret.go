package jwt

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// minDistinct is how many different characters a secret must have. 32 random
// hexadecimal digits have 14 on average.
const minDistinct = 10

// placeholders are words of secrets that stand in manuals and in lists of known
// secrets. A random secret is most unlikely to contain one: of 44 characters of
// base64 one in thirty million has one of six letters, whatever their case.
var placeholders = []string{"secret", "password", "passw0rd", "changeme", "change_me", "change-me", "change_this", "change-this", "changethis", "your-", "your_", "example", "qwerty",
	"0123456789", "1234567890", "abcdefgh", "supersecure", "default", "jwt-key", "jwt_key", "jwtkey", "private", "insecure", "test-key",
	"test_key", "testkey", "helloworld", "hello_world", "development"}

// shortPlaceholders are so short that random secrets have them by chance (one in
// a million each), so that they count only as people write them.
var shortPlaceholders = []string{"token", "admin", "lorem"}

// SecretKey returns the key of an issuer that shares a secret with us. A secret
// that could be guessed from a token, of which an attacker may have as many as
// he likes, is refused: at least as long as the digest (RFC 7518, 3.2), not made of
// words, and in no published list.
func SecretKey(alg, text string) (Key, error) {
	a, whole := algorithms[alg], text
	if a.family != "oct" {
		return Key{}, fmt.Errorf("algorithm %q takes no secret", alg)
	}
	if least := a.hash.Size(); len(text) < least {
		return Key{}, fmt.Errorf("secret has %d bytes, and %s needs at least %d; openssl rand -base64 %d makes a good one", len(text), alg, least, least)
	}
	if bits, least := hexBits(text), 8*a.hash.Size(); bits > 0 && bits < least {
		return Key{}, fmt.Errorf("secret has %d bits in hexadecimal digits, and %s needs at least %d; openssl rand -base64 %d makes a good one", bits, alg, least, a.hash.Size())
	}
	if isKnown(text) {
		return Key{}, errors.New("secret is in a published list of secrets, which attackers try: make a random one")
	}
	for written := 0; ; written++ {
		if err := guessable(text); err != nil {
			return Key{}, err
		}
		inside, ok := decodedText(text)
		if !ok || written == maxWritten {
			break
		}
		text = inside
	}
	return Key{Algorithm: alg, public: secret(whole)}, nil
}

// maxWritten is how often a text may be written as base64 of another before nobody
// looks at what it is: people do it once or twice.
const maxWritten = 3

// guessable tells why a text is none that a generator made.
func guessable(text string) error {
	distinct := make(map[rune]bool)
	for _, r := range text {
		distinct[r] = true
	}
	if len(distinct) < minDistinct {
		return fmt.Errorf("secret has only %d different characters and can be guessed", len(distinct))
	}
	if word := placeholderIn(text); word != "" {
		return fmt.Errorf("secret contains %q and can be guessed: make a random one", word)
	}
	return nil
}

// hexBits is how much a text of hexadecimal digits says, a UUID for one, which has
// half as much in it as in as many bytes; 0 if it is none.
func hexBits(text string) int {
	digits := strings.ReplaceAll(strings.Trim(text, "{}"), "-", "")
	for i := range len(digits) {
		if strings.IndexByte("0123456789abcdefABCDEF", digits[i]) < 0 {
			return 0
		}
	}
	return 4 * len(digits)
}

// decodedText is the text that another is the base64 or hexadecimal form of. Of 32
// random bytes one in 10^13 is text.
func decodedText(text string) (string, bool) {
	plain, err := hex.DecodeString(text)
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if err != nil {
			plain, err = encoding.DecodeString(strings.TrimRight(text, "="))
		}
	}
	if err != nil || len(plain) == 0 || slices.ContainsFunc(plain, func(c byte) bool { return c < ' ' || c > '~' }) {
		return "", false
	}
	return string(plain), true
}

// knownDigests has the first 8 bytes of the SHA-256 of each secret that is in a
// published list (wallarm/jwt-secrets) and that nothing else here refuses, in order:
// they are long and look random. TestKnownSecretsAreRefused makes it anew.
//
//go:embed known.digests
var knownDigests string

// digestSize is the number of bytes of one of them: one random secret in 10^16 has
// the same as any.
const digestSize = 8

func isKnown(text string) bool {
	sum := sha256.Sum256([]byte(text))
	_, found := sort.Find(len(knownDigests)/digestSize, func(i int) int {
		return strings.Compare(string(sum[:digestSize]), knownDigests[i*digestSize:(i+1)*digestSize])
	})
	return found
}

// placeholderIn returns a word that text contains; empty for none.
func placeholderIn(text string) string {
	lower := strings.ToLower(text)
	for _, word := range placeholders {
		if strings.Contains(lower, word) {
			return word
		}
	}
	for _, word := range shortPlaceholders {
		for _, written := range []string{word, strings.ToUpper(word), strings.ToUpper(word[:1]) + word[1:]} {
			if strings.Contains(text, written) {
				return word
			}
		}
	}
	return ""
}
