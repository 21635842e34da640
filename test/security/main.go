// Command security runs the suites and collections of attacks that others have published, and prints one table: against a
// gateway that it builds and starts (dragoman selftest security), in the tests of packages that carry them, and with h2spec
// and Autobahn. Its own tests hold docs/security.md to what there is, and walk every route.
//
// It does not know how anything is attacked: that is in internal/selftest and in the tests.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dragoman-mcp/dragoman/test/program"
)

func main() {
	var o options
	flag.StringVar(&o.h2spec, "h2spec", "", "program h2spec; see test/security/setup")
	flag.StringVar(&o.wstest, "wstest", "", "program wstest of Autobahn; see test/security/setup")
	flag.StringVar(&o.data, "data", "", "directory with checkouts of wallarm/jwt-secrets, swisskyrepo/PayloadsAllTheThings and Eszetael/postgres-mcp-hardened")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "security:", err)
		os.Exit(1)
	}
}

type options struct{ h2spec, wstest, data string }

// row is a line of the table. Figures of tests that do not count in these terms are in the note.
type row struct {
	corpus                                        string
	attacks, refused, through, harmless, mistaken int
	counted, failed                               bool
	note                                          string
}

func run(ctx context.Context, o options) error {
	rows, err := attack(ctx, o)
	if err != nil {
		return err
	}
	for _, s := range suites(o) {
		fmt.Fprintln(os.Stderr, "security:", s.name)
		rows = append(rows, s.try(ctx))
	}
	return errors.Join(print(rows), ctx.Err())
}

// attack builds the program and lets it attack itself.
func attack(ctx context.Context, o options) ([]row, error) {
	dir, err := os.MkdirTemp("", "dragoman-security-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	dragoman, err := program.Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "security: dragoman selftest security")
	cmd := exec.CommandContext(ctx, dragoman, "selftest", "security", "-o", "json", "--data", o.data)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output() // 1 when something was let through, which the answer says, too
	var report struct {
		Corpora []struct {
			Corpus, Source, Skipped    string
			Attacks, Refused, Harmless int
			Through                    int `json:"let_through"`
			Mistaken                   int `json:"refused_by_mistake"`
			Found                      []string
		}
	}
	if fault := json.Unmarshal(out, &report); fault != nil || len(report.Corpora) == 0 {
		return nil, fmt.Errorf("selftest has no answer: %w", errors.Join(err, fault))
	}
	var rows []row
	for _, c := range report.Corpora {
		r := row{c.Corpus, c.Attacks, c.Refused, c.Through, c.Harmless, c.Mistaken, c.Skipped == "", c.Through > 0, c.Source}
		if c.Skipped != "" {
			r.note += ": " + c.Skipped
		}
		for _, found := range c.Found {
			r.note += "\n\t\t\t\t\t\t  " + found
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// suite is tests that carry something of others.
type suite struct {
	name, pkg, run string
	args           []string
	missing        string // why it is not run
}

func suites(o options) []suite {
	all := []suite{
		{name: "JSON texts, in the parser", pkg: "./mcp/jsonrpc", run: "JSONTestSuite|JSONIs|Cut"},
		{name: "signatures, in the package", pkg: "./internal/auth/jwt", run: "Wycheproof|Tokens|Secrets"},
		{name: "destinations, to the dialer", pkg: "./internal/egress", run: "OfTheCorpora|AreFine"},
		{name: "SQL for SQLite", pkg: "./internal/builtin/database/sqlite", run: "TestNothingIsWritten"},
		{name: "SQL for PostgreSQL", pkg: "./internal/builtin/database/postgres", run: ".", missing: ""},
		{name: "SQL for MariaDB", pkg: "./internal/builtin/database/mysql", run: "."},
		{name: "races around a directory", pkg: "./internal/builtin/filesystem", run: "Race|Swap|Link|Climb|Path"},
		{name: "routes, methods, list of threats", pkg: "./test/security", run: "Route|Door|Decision|Threat|Promise"},
		{name: "secrets in logs and files", pkg: "./test/safety", run: "TestNoSecretIsFound"},
	}
	if o.data != "" {
		all[4].args = []string{"-corpora", filepath.Join(o.data, "Eszetael", "postgres-mcp-hardened", "tests", "adversarial", "corpus")}
		if _, err := os.Stat(all[4].args[1]); err != nil {
			all[4].args = nil
		}
	}
	all = append(all, suite{name: "h2spec", pkg: "./test/security", run: "TestHTTP2", args: []string{"-h2spec", o.h2spec}},
		suite{name: "Autobahn, our server", pkg: "./test/security", run: "TestWebSocketServer", args: []string{"-wstest", o.wstest}},
		suite{name: "Autobahn, our client", pkg: "./test/security", run: "TestWebSocketClient", args: []string{"-wstest", o.wstest}})
	for i, s := range all {
		if len(s.args) == 2 && s.args[1] == "" {
			all[i].missing = "is not installed: see test/security/setup"
		}
	}
	return all
}

// Lines of tests that count.
var (
	ofAttacks = regexp.MustCompile(`: (\d+) of (\d+) attacks refused`)
	closed    = regexp.MustCompile(`: (\d+) destinations that must be closed, (\d+) let through`)
	figures   = regexp.MustCompile(`(?m)^\s+\w+_test\.go:\d+: (.*\d.*)$`)
)

// try runs the tests. One that was skipped is none that passed.
func (s suite) try(ctx context.Context) row {
	r := row{corpus: s.name, note: s.missing}
	if s.missing != "" {
		return r
	}
	began := time.Now()
	args := append([]string{"test", "-count", "1", "-timeout", "30m", "-v", "-run", s.run, s.pkg, "-args"}, s.args...)
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	text := string(out)
	passed, skipped := strings.Count(text, "\n--- PASS"), strings.Count(text, "\n--- SKIP")
	if strings.HasPrefix(text, "--- SKIP") {
		skipped++
	}
	r.note = fmt.Sprintf("%d tests passed, %d skipped, %.0f s", passed, skipped, time.Since(began).Seconds())
	if m := figures.FindAllStringSubmatch(text, -1); len(m) > 0 && err == nil {
		r.note += ": " + m[len(m)-1][1]
	}
	for _, m := range ofAttacks.FindAllStringSubmatch(text, -1) {
		refused, _ := strconv.Atoi(m[1]) // digits
		attacks, _ := strconv.Atoi(m[2])
		r.refused, r.attacks, r.counted = r.refused+refused, r.attacks+attacks, true
	}
	for _, m := range closed.FindAllStringSubmatch(text, -1) {
		r.attacks, _ = strconv.Atoi(m[1])
		r.through, _ = strconv.Atoi(m[2])
		r.refused, r.counted = r.attacks-r.through, true
	}
	if r.counted {
		r.through = r.attacks - r.refused
	}
	if r.failed = err != nil || passed == 0; r.failed {
		r.note = "FAILED: " + r.note
		fmt.Fprintln(os.Stderr, text)
	}
	return r
}

// print writes the table, and is an error when something was let through or failed.
func print(rows []row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CORPUS\tATTACKS\tREFUSED\tLET THROUGH\tHARMLESS\tBY MISTAKE\tFROM, OR WHAT THE TESTS SAY")
	bad := 0
	for _, r := range rows {
		if r.failed || r.through > 0 {
			bad++
		}
		if !r.counted {
			fmt.Fprintf(w, "%s\t-\t-\t-\t-\t-\t%s\n", r.corpus, r.note)
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", r.corpus, r.attacks, r.refused, r.through, r.harmless, r.mistaken, r.note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d collections were not withstood", bad, len(rows))
	}
	return nil
}
