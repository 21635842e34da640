package sandbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGroupsAreSetUpByTheFilesOfTheirVersion(t *testing.T) {
	b := Bounds{Memory: 512 << 20, CPU: 1.5, Processes: 40}
	for _, c := range []struct {
		in   hierarchy
		want map[string]string
	}{
		{hierarchy{unified: true, control: []string{"memory", "cpu", "pids"}},
			map[string]string{"memory.max": "536870912", "cpu.max": "150000 100000", "pids.max": "40"}},
		{hierarchy{control: []string{"memory"}}, map[string]string{"memory.limit_in_bytes": "536870912"}},
		{hierarchy{control: []string{"cpu", "cpuacct"}}, map[string]string{"cpu.cfs_quota_us": "150000"}},
		{hierarchy{control: []string{"pids"}}, map[string]string{"pids.max": "40"}},
	} {
		if diff := cmp.Diff(c.want, c.in.settings(b)); diff != "" {
			t.Errorf("settings of %+v (-want +got):\n%s", c.in, diff)
		}
		if got := c.in.settings(Bounds{}); len(got) > 0 {
			t.Errorf("settings of no bounds: got %v", got)
		}
	}
	if got := (hierarchy{unified: true, control: []string{"cpu"}}).settings(Bounds{CPU: 0.001}); got["cpu.max"] != "1000 100000" {
		t.Errorf("a share below the kernel's least: got %v, want the least", got)
	}
}

func TestOnlyAGroupThatWasGivenIsDivided(t *testing.T) {
	mount := t.TempDir()
	group := func(dir, enabled, procs string) string {
		dir = filepath.Join(mount, dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"cgroup.subtree_control": enabled, "cgroup.procs": procs} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	group("", "memory", "1\n")
	given := group("service", "", "")
	own := group("service/gateway", "", "2\n")
	enabled := group("ready", "cpu memory io", "")
	crowded := group("crowded", "", "3\n")
	below := group("crowded/leaf", "", "4\n")
	if dir, control := delegated(mount, enabled); dir != enabled || len(control) != 2 {
		t.Errorf("a group that is ready: got %s, %v", dir, control)
	}
	if dir, _ := delegated(mount, own); dir != given {
		t.Errorf("a group below the one that was given: got %s, want %s", dir, given)
	}
	for _, dir := range []string{crowded, below} {
		if _, control := delegated(mount, dir); len(control) > 0 {
			t.Errorf("%s: got %v, want none", dir, control)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(crowded, "cgroup.subtree_control")); len(text) > 0 {
		t.Errorf("a group of others was changed: %q", text)
	}
	if text, _ := os.ReadFile(filepath.Join(mount, "cgroup.subtree_control")); string(text) != "memory" {
		t.Errorf("the root was changed: %q", text)
	}
}
