package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const printed = `✗ not-in-the-summary: 1 passed, 1 failed

=== SUMMARY ===
✓ tools-list: 3 passed, 0 failed
✗ caching: 1 passed, 6 failed
✗ tasks-lifecycle: 1 passed, 8 failed
✓ json-schema-2020-12: 8 passed, 0 failed

Total: 13 passed, 14 failed

Not scored for 2026-07-28: 2 scenario(s) run, 1 failing. These do not affect conformance.
  ✗ tasks-lifecycle (extension)
  ✓ json-schema-2020-12 (pending)
`

func TestSummaryIsRead(t *testing.T) {
	got, err := readSummary(printed)
	if err != nil {
		t.Fatal(err)
	}
	want := score{passed: 13, failed: 14,
		required: map[string]bool{"tools-list": true, "caching": false},
		extra:    map[string]bool{"tasks-lifecycle": false, "json-schema-2020-12": true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(score{})); diff != "" {
		t.Errorf("readSummary(%q): -want +got\n%s", printed, diff)
	}
}

func TestOutputWithoutScoresIsRefused(t *testing.T) {
	for _, out := range []string{"", "Total: 1 passed, 0 failed", "=== SUMMARY ===\n✓ a: 1 passed, 0 failed", "=== SUMMARY ===\nTotal: 0 passed, 0 failed"} {
		if got, err := readSummary(out); err == nil {
			t.Errorf("readSummary(%q) = %v, want an error", out, got)
		}
	}
	if passed, failed, err := readOverall("Error: no such scenario"); err == nil {
		t.Errorf("readOverall of an error = %d, %d, want an error", passed, failed)
	}
}

func TestSurprises(t *testing.T) {
	found := score{passed: 3, required: map[string]bool{"caching": false, "tools-list": true}}
	for _, tt := range []struct {
		name    string
		allowed map[string]string
		least   int
		want    []string
	}{
		{"a scenario that fails and may not", nil, 0, []string{"caching failed\n      ttl: no ttlMs"}},
		{"a scenario that fails and may", map[string]string{"caching": "old server"}, 0, nil},
		{"a scenario that may fail and passes", map[string]string{"caching": "old server", "tools-list": "none"}, 0,
			[]string{"tools-list passed: take it off the list of those that may fail"}},
		{"a scenario that may fail and is not run", map[string]string{"caching": "old server", "gone": "none"}, 0,
			[]string{"gone is allowed to fail, but is not run"}},
		{"checks that were skipped", map[string]string{"caching": "old server"}, 4,
			[]string{"3 checks passed, want at least 4: the rest were skipped"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			results := filepath.Join(dir, "server-caching-2026-11-21T03-05-28-510Z")
			if err := os.Mkdir(results, 0o755); err != nil {
				t.Fatal(err)
			}
			checks := `[{"id":"ok","status":"SUCCESS"},{"id":"ttl","status":"FAILURE","errorMessage":"no ttlMs"}]`
			if err := os.WriteFile(filepath.Join(results, "checks.json"), []byte(checks), 0o644); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, run{allowed: tt.allowed, least: tt.least}.surprises(found, dir)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
