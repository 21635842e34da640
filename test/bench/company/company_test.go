package company

import (
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThereAreTwoHundredPolicies(t *testing.T) {
	all, err := cedar.NewPolicyListFromBytes("company.cedar", []byte(Policies()))
	if err != nil || len(all) != 200 {
		t.Errorf("%d policies, %v, want 200", len(all), err)
	}
}

func TestEveryUserHasATokenOfTheirOwn(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		c, err := Open(alg)
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := c.Tokens()
		seen := map[string]bool{}
		for _, token := range tokens {
			seen[token] = strings.Count(token, ".") == 2
		}
		if err != nil || len(seen) != Users {
			t.Errorf("%s: %d different tokens, %v, want %d", alg, len(seen), err, Users)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open("none"); err == nil {
		t.Error("algorithm none: want an error")
	}
}
