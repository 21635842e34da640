package sandbox_test

import (
	"os"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	sandbox.ShimMain(os.Args)
	goleak.VerifyTestMain(m)
}

func TestProbeSaysWhatThisSystemEnforces(t *testing.T) {
	r := sandbox.Probe(t.Context())
	t.Logf("%+v", r)
	if r.Level < sandbox.Calls && r.Missing == "" {
		t.Errorf("report %+v does not say why the level is not higher", r)
	}
}
