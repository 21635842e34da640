package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// suiteWait bounds one pass of the suite, which takes 5 s on a quiet machine. It bounds each scenario itself.
const suiteWait = 5 * time.Minute

// A score is what one pass of the suite found.
type score struct {
	passed, failed int             // checks
	required       map[string]bool // scenarios that count, and whether they passed
	extra          map[string]bool // scenarios that the suite runs and does not count
}

// failing lists the scenarios of one of the maps of a score that did not pass.
func failing(scenarios map[string]bool) []string {
	var names []string
	for name, passed := range scenarios {
		if !passed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// serverPass points the suite, as a client, at url. Results go to dir.
func serverPass(ctx context.Context, r run, url, dir string) (score, error) {
	args := []string{"server", "--url", url}
	if r.suite == peers.Conformance {
		args = append(args, "--requirements", r.revision)
	}
	out, exit, err := runSuite(ctx, r.suite, append(args, "-o", dir), nil)
	if err != nil {
		return score{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, "output.txt"), out, 0o644); err != nil {
		return score{}, err
	}
	found, err := readSummary(string(out))
	if err != nil {
		return score{}, fmt.Errorf("%w; see %s", err, filepath.Join(dir, "output.txt"))
	}
	if failed := failing(found.required); (exit != 0) != (len(failed) > 0) {
		return score{}, fmt.Errorf("the suite ended with %d and failed %v: its output was read wrongly, see %s", exit, failed, dir)
	}
	return found, nil
}

// clientPass has the suite play a server to command, one scenario after the other.
func clientPass(ctx context.Context, r run, command []string, dir string) (score, error) {
	total := score{required: map[string]bool{}}
	for _, scenario := range clientScenarios[r.revision] {
		results := filepath.Join(dir, scenario)
		if err := os.MkdirAll(results, 0o755); err != nil {
			return total, err
		}
		args := []string{"client", "--command", strings.Join(command, " "), "--scenario", scenario, "--spec-version", r.revision, "-o", results}
		out, exit, err := runSuite(ctx, r.suite, args, []string{legWork + "=" + results})
		if err != nil {
			return total, err
		}
		if err := os.WriteFile(filepath.Join(results, "output.txt"), out, 0o644); err != nil {
			return total, err
		}
		passed, failed, err := readOverall(string(out))
		if err != nil {
			return total, fmt.Errorf("%s: %w; see %s", scenario, err, filepath.Join(results, "output.txt"))
		}
		total.passed, total.failed = total.passed+passed, total.failed+failed
		total.required[scenario] = exit == 0
	}
	return total, nil
}

// runSuite runs one line of the suite and returns what it printed and its exit code.
func runSuite(ctx context.Context, suite string, args, environment []string) ([]byte, int, error) {
	program, err := peers.Find(suite)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, suiteWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.WaitDelay = stopWait
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		return nil, 0, fmt.Errorf("run %s %s: %w", suite, strings.Join(args, " "), errors.Join(err, ctx.Err()))
	}
	return out.Bytes(), cmd.ProcessState.ExitCode(), nil
}

var (
	scenarioLine = regexp.MustCompile(`(?m)^[✓✗] (\S+): (\d+) passed, (\d+) failed`)
	totalLine    = regexp.MustCompile(`(?m)^Total: (\d+) passed, (\d+) failed`)
	extraLine    = regexp.MustCompile(`(?m)^  ([✓✗]) (\S+) \((extension|pending|added-after-release)\)`)
	overallLine  = regexp.MustCompile(`(?m)^Passed: (\d+)/\d+, (\d+) failed`)
)

// readSummary reads what the suite prints at the end of a pass over many scenarios.
func readSummary(out string) (score, error) {
	_, summary, ok := strings.Cut(out, "=== SUMMARY ===")
	total := totalLine.FindStringSubmatch(summary)
	if !ok || total == nil {
		return score{}, errors.New("the suite printed no summary")
	}
	found := score{passed: number(total[1]), failed: number(total[2]), required: map[string]bool{}, extra: map[string]bool{}}
	for _, line := range extraLine.FindAllStringSubmatch(summary, -1) {
		found.extra[line[2]] = line[1] == "✓"
	}
	for _, line := range scenarioLine.FindAllStringSubmatch(summary, -1) {
		if _, extra := found.extra[line[1]]; !extra {
			found.required[line[1]] = strings.HasPrefix(line[0], "✓")
		}
	}
	if len(found.required) == 0 {
		return score{}, errors.New("the suite ran no scenario")
	}
	return found, nil
}

// readOverall reads what the suite prints after a single scenario.
func readOverall(out string) (passed, failed int, err error) {
	line := overallLine.FindStringSubmatch(out)
	if line == nil {
		return 0, 0, errors.New("the suite printed no result")
	}
	return number(line[1]), number(line[2]), nil
}

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // the pattern lets only digits through
	return n
}

// Bounds of what is printed of one scenario; the rest is in its results.
const (
	maxComplaints = 4
	maxComplaint  = 200 // runes
)

// complaints reads why a scenario failed from the results that the suite left in dir.
func complaints(dir, scenario string) []string {
	var found []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "checks.json" || !strings.Contains(filepath.Base(filepath.Dir(path)), scenario+"-2") {
			return nil
		}
		var checks []struct{ ID, Status, ErrorMessage string }
		text, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(text, &checks) != nil {
			return nil
		}
		for _, check := range checks {
			// A warning fails a client, though not a server.
			if (check.Status == "FAILURE" || check.Status == "WARNING") && len(found) < maxComplaints {
				words := []rune(strings.Join(strings.Fields(check.ID+": "+check.ErrorMessage), " "))
				found = append(found, string(words[:min(len(words), maxComplaint)]))
			}
		}
		return nil
	})
	return found
}
