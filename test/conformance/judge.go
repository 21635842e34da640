package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A row is a run with its outcome.
type row struct {
	run
	score
	wrong []string // what did not go as expected, with the suite's words
}

// judge runs r. A scenario that fails unexpectedly is given one more chance in a new pass: some of them wait for one
// second, which a busy machine may miss.
func judge(ctx context.Context, opts options, r run, all targets) (row, error) {
	const passes = 2
	var result row
	for pass := 1; pass <= passes; pass++ {
		dir := filepath.Join(opts.work, fmt.Sprintf("%s-%d", strings.Join(strings.FieldsFunc(r.String(), notName), "-"), pass))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return result, err
		}
		found, err := r.pass(ctx, opts, all, dir)
		if err != nil {
			return result, err
		}
		result = row{run: r, score: found, wrong: r.surprises(found, dir)}
		if len(result.wrong) == 0 {
			break
		}
	}
	return result, nil
}

func notName(c rune) bool { return c == ' ' || c == ',' || c == '/' }

func (r run) pass(ctx context.Context, opts options, all targets, dir string) (score, error) {
	if r.client == "" {
		return serverPass(ctx, r, all.url(r), dir)
	}
	command, err := clientCommand(r, opts)
	if err != nil {
		return score{}, err
	}
	return clientPass(ctx, r, command, dir)
}

// surprises are the scenarios that failed and should not have, those that were said to fail and did not, and too few
// checks.
func (r run) surprises(found score, dir string) []string {
	var wrong []string
	if found.passed < r.least {
		wrong = append(wrong, fmt.Sprintf("%d checks passed, want at least %d: the rest were skipped", found.passed, r.least))
	}
	for _, name := range failing(found.required) {
		if r.allowed[name] == "" {
			wrong = append(wrong, strings.Join(append([]string{name + " failed"}, complaints(dir, name)...), "\n      "))
		}
	}
	for name := range r.allowed {
		if passed, ran := found.required[name]; !ran {
			wrong = append(wrong, name+" is allowed to fail, but is not run")
		} else if passed {
			wrong = append(wrong, name+" passed: take it off the list of those that may fail")
		}
	}
	slices.Sort(wrong)
	return wrong
}

func (r row) print(w io.Writer) {
	verdict := "ok  "
	if len(r.wrong) > 0 {
		verdict = "FAIL"
	}
	fmt.Fprintf(w, "%s %3d passed %3d failed  %s\n", verdict, r.passed, r.failed, r.run)
	if extra := failing(r.extra); len(extra) > 0 {
		fmt.Fprintf(w, "       not counted by the suite: %s\n", strings.Join(extra, " "))
	}
	for _, line := range r.wrong {
		fmt.Fprintf(w, "    %s\n", line)
	}
}
