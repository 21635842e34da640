package jwt_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
)

var knownSecrets = flag.String("jwt-secrets", "", "file with known secrets, one per line: each has to be refused")
var writeKnown = flag.Bool("write-known", false, "write the digests of those in -jwt-secrets that nothing else refuses")

func TestSecretsThatCanBeGuessedAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, alg, secret string
	}{
		{"short", "HS256", "Kq8#mZ2!vX9@pL4$wR7%"},
		{"long enough for HS256 only", "HS512", "kX93mZq2vXb7pLt4wRs7nQc5yHd8jFg1"},
		{"one letter", "HS256", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"from S0's example", "HS256", "your-secret-key-for-development"},
		{"a word within", "HS256", "kX93mZq2vXb7pLt4-SECRET-wRs7nQc5yHd8jFg1"},
		{"a UUID", "HS256", "45df22f6-e862-43a1-8fd8-1d40740a0c84"},
		{"hexadecimal digits of too few bits", "HS256", "b14ca5898a4e4133bbce2ea2315a1916"},
		{"hexadecimal digits of too few bits for HS512", "HS512", "0f453b8e74d2da2ddbf069fb795e530bb730a418ac3764e3f2a8d360c648a412"},
		{"words as base64", "HS256", base64.StdEncoding.EncodeToString([]byte("my password is 4 letters long, no 9"))},
		{"words as hexadecimal digits", "HS256", hex.EncodeToString([]byte("my password is 4 letters long, no 9"))},
		{"words as base64 of base64", "HS256", base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte("my password is 4 letters long, no 9"))))},
		{"from a published list", "HS256", "G8myiWdh74ZxsIrFdVTo3j36ftvoqNSE"},
		{"a short word within", "HS256", "kX93mZq2vXb7pLt4TokenwRs7nQc5yHd8jFg1"},
		{"an algorithm without a secret", "RS256", "kX93mZq2vXb7pLt4wRs7nQc5yHd8jFg1"},
		{"no algorithm at all", "none", "kX93mZq2vXb7pLt4wRs7nQc5yHd8jFg1"},
	} {
		if _, err := jwt.SecretKey(c.alg, c.secret); err == nil {
			t.Errorf("%s: SecretKey(%s, %q) is taken, want it refused", c.name, c.alg, c.secret)
		}
	}
}

func TestRandomSecretsAreTaken(t *testing.T) {
	random := rand.NewChaCha8([32]byte([]byte("the same secrets in each test..."))) // one in millions has a word by chance
	for range 20_000 {
		b := make([]byte, 32)
		_, _ = random.Read(b) // never fails
		for _, text := range []string{hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b)} {
			if _, err := jwt.SecretKey("HS256", text); err != nil {
				t.Errorf("SecretKey(HS256, %q) = %v, want it taken", text, err)
			}
		}
	}
}

// A random one has five letters by chance.
func TestASecretWithAWordByChanceIsTaken(t *testing.T) {
	const text = "JKTU+MHuD6c6RWceaWNHQttyzJOJFIruTpFsiTOKEno="
	if _, err := jwt.SecretKey("HS256", text); err != nil {
		t.Errorf("SecretKey(HS256, %q) = %v, want it taken", text, err)
	}
}

func TestKnownSecretsAreRefused(t *testing.T) {
	if *knownSecrets == "" {
		t.Skip("give -jwt-secrets=FILE")
	}
	f, err := os.Open(*knownSecrets)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	total, digests := 0, []string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		total++
		_, err := jwt.SecretKey("HS256", lines.Text())
		if err != nil && !(*writeKnown && strings.Contains(err.Error(), "published list")) {
			continue
		}
		if !*writeKnown {
			t.Errorf("%q is in the list and is taken; -write-known adds it", lines.Text())
		}
		sum := sha256.Sum256(lines.Bytes())
		digests = append(digests, string(sum[:8]))
	}
	t.Logf("%d known secrets, %d that look random", total, len(digests))
	if *writeKnown {
		slices.Sort(digests)
		if err := os.WriteFile("known.digests", []byte(strings.Join(slices.Compact(digests), "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
