package supervisor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

func TestRulesAreWhatTheConfigurationSays(t *testing.T) {
	all := config.Upkeep{MemoryLimit: 500 << 20, CPUQuota: 80, Sandbox: config.Sandbox{Level: 3, MinLevel: 2, Read: []string{"/r"}, Write: []string{"/w"},
		Network: "auto", OpenFiles: 1, FileSize: 2, AddressSpace: 3, CPUTime: time.Minute, Processes: 5}}
	want := sandbox.Rules{Level: 3, MinLevel: 2, Read: []string{"/r"}, Write: []string{"/w"}, NoNetwork: true,
		Limits: sandbox.Limits{OpenFiles: 1, FileBytes: 2, AddressSpace: 3, CPUSeconds: 60},
		Bounds: sandbox.Bounds{Memory: 500 << 20, CPU: 0.8, Processes: 5}}
	if diff := cmp.Diff(want, supervisor.RulesOf(all)); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		in   config.Sandbox
		want sandbox.Rules
	}{
		{config.Sandbox{Network: "auto"}, sandbox.Rules{}},
		{config.Sandbox{}, sandbox.Rules{}},
		{config.Sandbox{Level: 1, Network: "auto"}, sandbox.Rules{Level: 1}},
		{config.Sandbox{Level: 1, Network: "none"}, sandbox.Rules{Level: 1, NoNetwork: true}},
		{config.Sandbox{Level: 2, Network: "host"}, sandbox.Rules{Level: 2}},
		{config.Sandbox{Level: 2, Network: "auto"}, sandbox.Rules{Level: 2, NoNetwork: true}},
		{config.Sandbox{Privileges: true}, sandbox.Rules{Level: sandbox.Off}},
	} {
		if diff := cmp.Diff(c.want, supervisor.RulesOf(config.Upkeep{Sandbox: c.in})); diff != "" {
			t.Errorf("rules of %+v (-want +got):\n%s", c.in, diff)
		}
	}
}
