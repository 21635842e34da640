//go:build linux

package safety

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// eat takes memory and uses it, until the program is killed or has enough.
func eat(bytes any) string {
	n, _ := bytes.(float64)
	all := make([][]byte, 0, int(n)>>20)
	for range int(n) >> 20 {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		all = append(all, piece)
	}
	until := time.Now().Add(patience) // the gateway looks now and then
	for time.Now().Before(until) {
		for _, piece := range all {
			piece[0]++
		}
	}
	return fmt.Sprint(len(all))
}

// spin computes for two seconds of the clock, and tells how many of the processor
// it got.
func spin() string {
	const long = 2 * time.Second
	used := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before, begun := used(), time.Now()
	for n := 0; n >= 0 && time.Since(begun) < long; n++ {
	}
	return strconv.FormatFloat(float64(used()-before)/float64(time.Since(begun)), 'f', 3, 64)
}

// TestTheLimitsOfTheEnvironmentHold sets MCP_MEMORY_LIMIT and MCP_CPU_QUOTA as
// deployments of other systems do. A program that takes more memory ends, health
// says why, and the next call has a new one; its part of the processor is bounded, or
// health says that it is not. The audit log has each start with its level.
func TestTheLimitsOfTheEnvironmentHold(t *testing.T) {
	dir := home(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, dir, object{
		"audit":    object{"dir": filepath.Join(dir, "audit")},
		"servers":  object{"program": object{"command": []string{self, "talker"}}},
		"defaults": object{"breaker": object{"failures": 0}, "restart": object{"min_backoff": "1ms", "max_backoff": "10ms"}, "health": object{"interval": "0s"}},
	}, "MCP_MEMORY_LIMIT=192M", "MCP_CPU_QUOTA=20%")
	c := g.caller("")
	call := func(tool string, arguments object) string {
		t.Helper()
		got, err := c.call("program__"+tool, arguments)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(got)
		return string(text)
	}
	part := call("spin", object{})
	share, err := strconv.ParseFloat(between(part, `"text":"`, `"`), 64)
	if err != nil {
		t.Fatalf("spin: got %s, %v", part, err)
	}
	_, health := c.get("/mcp/program/health")
	const twice = 0.4 // of one processor: the first period is not measured from its beginning
	if open := strings.Contains(string(health), "cpu_quota is not enforced"); !open && share > twice {
		t.Errorf("with a quota of 20 %% the program had %.0f %% of a processor, and health does not say that it is not enforced:\n%s", 100*share, health)
	} else {
		t.Logf("%.0f %% of a processor; health says that it is not enforced: %v", 100*share, open)
	}
	if got := call("eat", object{"bytes": 256 << 20}); !strings.Contains(got, `"error"`) {
		t.Errorf("eat 256 MiB of 192: got %s, want an error, since the program is killed", got)
	}
	if !strings.Contains(string(g.said("stderr")), "memory_limit") && !await(func() bool { return strings.Contains(string(g.said("stderr")), "memory_limit") }) {
		t.Error("the log does not say that it was for its memory_limit")
	}
	if !await(func() bool { return strings.Contains(call("say", object{"text": "hello"}), "said") }) {
		t.Error("the program does not come back")
	}
	var starts []string
	if !await(func() bool {
		starts = events(t, filepath.Join(dir, "audit"), "program started")
		return len(starts) >= 2
	}) {
		t.Errorf("the audit log has %d starts, want two", len(starts))
	}
	for _, line := range starts {
		if !strings.Contains(line, `"sandbox_level":"0"`) || !strings.Contains(line, `"server":"program"`) {
			t.Errorf("the audit log has %s, want server and level in it", line)
		}
	}
}

// between is the part of a text after one word and before the next of another.
func between(text, after, before string) string {
	_, text, _ = strings.Cut(text, after)
	text, _, _ = strings.Cut(text, before)
	return text
}

// events are the lines of an audit log that tell of an event.
func events(t *testing.T, dir, name string) (lines []string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, segment := range segments {
		text, err := os.ReadFile(segment)
		if err != nil {
			continue // the directory of the checkpoints
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, `"event"`) && strings.Contains(line, name) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
