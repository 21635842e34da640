package jwt_test

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
)

var knownSecrets = flag.String("jwt-secrets", "", "file with known secrets, one per line: counts how many are refused")

func TestSecretsThatCanBeGuessedAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, alg, secret string
	}{
		{"short", "HS256", "Kq8#mZ2!vX9@pL4$wR7%"},
		{"long enough for HS256 only", "HS512", "kX93mZq2vXb7pLt4wRs7nQc5yHd8jFg1"},
		{"one letter", "HS256", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"from S0's example", "HS256", "your-secret-key-for-development"},
		{"a word within", "HS256", "kX93mZq2vXb7pLt4-SECRET-wRs7nQc5yHd8jFg1"},
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
	total, taken := 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		total++
		if _, err := jwt.SecretKey("HS256", lines.Text()); err == nil {
			taken++
		}
	}
	t.Logf("%d known secrets, %d taken: those are long and look random", total, taken)
}
