package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/program"
)

// What the program says of itself, as a user has it say it.
func TestTheSelftestLetsNothingThrough(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	dragoman, err := program.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, dragoman, "selftest", "security", "-o", "json")
	cmd.Dir = t.TempDir() // without a configuration
	out, err := cmd.Output()
	var report struct {
		Good    bool
		Corpora []struct {
			Corpus, Skipped                     string
			Attacks, Refused, Harmless, Through int
			Mistaken                            int `json:"refused_by_mistake"`
			Found                               []string
		}
	}
	if fault := json.Unmarshal(out, &report); fault != nil {
		t.Fatalf("selftest: %v, %v, in %s", err, fault, out)
	}
	if err != nil || !report.Good {
		t.Errorf("selftest: got %v, good %v, want exit code 0 and good", err, report.Good)
	}
	attacks, tried := 0, 0
	for _, c := range report.Corpora {
		if c.Skipped == "" {
			tried++
		}
		attacks += c.Attacks
		if c.Refused != c.Attacks || c.Skipped == "" && c.Attacks == 0 {
			t.Errorf("%s: %d of %d refused: %q", c.Corpus, c.Refused, c.Attacks, c.Found)
		}
		if c.Mistaken > 0 && c.Corpus != "destinations, at the guard" { // one URL has a space in it
			t.Errorf("%s: %d harmless ones were refused: %q", c.Corpus, c.Mistaken, c.Found)
		}
	}
	if attacks < 6000 || tried < 17 {
		t.Errorf("%d attacks in %d collections, want at least 6000 in 17", attacks, tried)
	}
}
