package jwt

import (
	"fmt"
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
// he likes, is refused: at least as long as the digest (RFC 7518, 3.2), and not
// made of words.
func SecretKey(alg, text string) (Key, error) {
	a := algorithms[alg]
	if a.family != "oct" {
		return Key{}, fmt.Errorf("algorithm %q takes no secret", alg)
	}
	if least := a.hash.Size(); len(text) < least {
		return Key{}, fmt.Errorf("secret has %d bytes, and %s needs at least %d; openssl rand -base64 %d makes a good one", len(text), alg, least, least)
	}
	distinct := make(map[rune]bool)
	for _, r := range text {
		distinct[r] = true
	}
	if len(distinct) < minDistinct {
		return Key{}, fmt.Errorf("secret has only %d different characters and can be guessed", len(distinct))
	}
	if word := placeholderIn(text); word != "" {
		return Key{}, fmt.Errorf("secret contains %q and can be guessed: make a random one", word)
	}
	return Key{Algorithm: alg, public: secret(text)}, nil
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
