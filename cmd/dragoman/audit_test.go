package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
)

// auditLog writes a small log and a configuration that names it.
func auditLog(t *testing.T) (file string, section config.Audit) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "dragoman.yaml")
	if err := os.WriteFile(file, []byte("audit: {dir: log, checkpoints: sealed}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(audit.Options{Config: cfg.Audit, Redactor: scan.New(nil), Now: func() time.Time { return time.Unix(1e9, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ada", "bob", "cyd"} {
		if err := l.Event(context.Background(), audit.Event{Name: "user added", Attrs: [][2]string{{"name", name}, {"note", "\x1b[2J"}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return file, cfg.Audit
}

// commanded runs a command line and gives what it printed and the code it ends with.
func commanded(args ...string) (string, int) {
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	var coded *exitError
	switch {
	case err == nil:
		return out.String(), exitOK
	case errors.As(err, &coded):
		return out.String() + coded.Error(), coded.code
	}
	return out.String() + err.Error(), exitFailure
}

func TestAuditVerifySaysThatThereIsNoLog(t *testing.T) {
	_, section := auditLog(t)
	empty := t.TempDir()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a directory without a log":           {[]string{empty}, "there is no audit log in " + empty + ", and no public key"},
		"a directory that is not there":       {[]string{filepath.Join(empty, "none")}, "there is no directory " + filepath.Join(empty, "none") + ": name"},
		"a log whose key is with its seals":   {[]string{section.Dir}, "name the directory of the checkpoints with --checkpoints"},
		"a log that is gone, its seals there": {[]string{empty, "--checkpoints", section.Checkpoints}, "record"},
	} {
		out, code := commanded(append([]string{"audit", "verify"}, test.args...)...)
		if code == exitOK || !strings.Contains(out, test.want) {
			t.Errorf("%s: audit verify prints %q and ends with %d, want %q and another code", name, out, code, test.want)
		}
	}
}

func TestAuditVerify(t *testing.T) {
	file, section := auditLog(t)
	for _, args := range [][]string{{"-c", file}, {section.Dir, "--checkpoints", section.Checkpoints},
		{section.Dir, "--checkpoints", section.Checkpoints, "--key", filepath.Join(section.Checkpoints, "audit.pub")}} {
		out, code := commanded(append([]string{"audit", "verify"}, args...)...)
		if want := "no record is missing or changed: records 1 to 4 in 1 segment, 1 checkpoint\n"; out != want || code != exitOK {
			t.Errorf("audit verify %v prints %q and ends with %d, want %q and 0", args, out, code, want)
		}
	}
	path := filepath.Join(section.Dir, "audit-00000000000000000001.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("bob"), []byte("eve"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := commanded("audit", "verify", "-c", file)
	if !strings.Contains(out, "audit-00000000000000000001.jsonl:4: record 3, or one between") || !strings.Contains(out, "NOT WHOLE: 1 fault") || code != exitFailure {
		t.Errorf("a changed log prints %q and ends with %d", out, code)
	}
	out, code = commanded("audit", "verify", "-c", file, "-o", "json")
	var report struct {
		Whole  bool
		Faults []string
	}
	if err := json.Unmarshal([]byte(strings.TrimSuffix(out, "<nil>")), &report); err != nil || report.Whole || len(report.Faults) != 1 || code != exitFailure {
		t.Errorf("as JSON it prints %s and ends with %d", out, code)
	}
	for _, args := range [][]string{{t.TempDir()}, {section.Dir, section.Dir}, {section.Dir, "-o", "x"}} {
		if out, code := commanded(append([]string{"audit", "verify"}, args...)...); code == exitOK {
			t.Errorf("audit verify %v prints %q and ends well", args, out)
		}
	}
}

func TestAuditTail(t *testing.T) {
	file, section := auditLog(t)
	out, code := commanded("audit", "tail", "-n", "2", "-c", file)
	want := "3  2001-09-09T01:46:40.000000Z  event  user added  name=bob  note=\\x1b[2J\n" +
		"4  2001-09-09T01:46:40.000000Z  event  user added  name=cyd  note=\\x1b[2J\n"
	if out != want || code != exitOK {
		t.Errorf("audit tail prints %q and ends with %d, want %q", out, code, want)
	}
	out, _ = commanded("audit", "tail", "-n", "1", "-o", "json", section.Dir)
	if !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 {
		t.Errorf("audit tail -o json prints %q", out)
	}
}
