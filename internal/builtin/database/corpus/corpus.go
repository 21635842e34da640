// Package corpus is what others have published to get more than reading out of
// servers that only read: statements and injections, a small list of them here, and
// whole repositories when the tests are given them. The tests of all engines run
// the same, and print how much it was and what has changed.
//
// It does not know any database, nor what has to come out: that nothing changes is
// for whoever runs it to see.
package corpus

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// small has facts of postgres-mcp-hardened, dbhub, awslabs/mcp, postgres-mcp and
// PayloadsAllTheThings, a text in each line.
//
//go:embed small.txt
var small string

// Texts gives the small list, or, when dir is not empty, all that is found in the
// files below it: the lines of lists (*.txt and files without an ending; of three
// columns the second), and the texts in the code of tests (*.rs, *.ts, *.py) and in
// blocks of Markdown.
func Texts(dir string) ([]string, error) {
	if dir == "" {
		return lines(small), nil
	}
	var all []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch filepath.Ext(path) {
		case ".txt", "":
			all = append(all, lines(string(data))...)
		case ".rs", ".ts", ".py":
			all = append(all, literals(string(data))...)
		case ".md":
			all = append(all, blocks(string(data))...)
		}
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no texts are below %s", dir)
	}
	slices.Sort(all)
	return slices.Compact(all), err
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if fields := strings.Split(line, "\t"); len(fields) > 1 && (fields[0] == "deny" || fields[0] == "allow") {
			line = fields[1]
		}
		if line != "" && !strings.HasPrefix(line, "# ") {
			all = append(all, filled(line))
		}
	}
	return all
}

// filled puts names of the test's own tables where a corpus leaves them open.
func filled(text string) string {
	return strings.NewReplacer("{{T2}}", "t2", "{{T}}", "users", "{{COL}}", "password", `\n`, "\n", `\t`, "\t").Replace(text)
}

// literals are the texts of a program that look like statements.
func literals(code string) []string {
	literal := regexp.MustCompile("(?s)r#\"(.*?)\"#|\"\"\"(.*?)\"\"\"|`([^`]*)`|\"((?:[^\"\\\\\n]|\\\\.)*)\"|'((?:[^'\\\\\n]|\\\\.)*)'")
	statement := regexp.MustCompile(`(?i)\b(select|insert|update|delete|drop|create|alter|truncate|grant|revoke|with|call|do|copy|set|show|explain|merge|replace|load|exec|execute|lock|union|sleep|into)\b`)
	var all []string
	for _, found := range literal.FindAllStringSubmatch(code, -1) {
		text := strings.Join(found[1:], "")
		if strings.ContainsAny(text, " (") && statement.MatchString(text) {
			all = append(all, filled(strings.NewReplacer(`\"`, `"`, `\'`, `'`, "\\`", "`", `\\`, `\`).Replace(text)))
		}
	}
	return all
}

// blocks are the lines of code in Markdown.
func blocks(text string) []string {
	var all []string
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			inside = !inside
		case inside && strings.TrimSpace(line) != "":
			all = append(all, line)
		}
	}
	return all
}

// Tally is what a run came to.
type Tally struct {
	Texts, Statements, Refused int
	Late                       []string // statements that took longer than they may
}

// String says it in a line.
func (t Tally) String() string {
	return fmt.Sprintf("%d texts, %d statements, %d of them refused", t.Texts, t.Statements, t.Refused)
}

// Run sends each text as a statement, within a text, as a value, and as a name in
// quotes, each with at most limit of time.
func Run(ctx context.Context, texts []string, limit time.Duration, run func(context.Context, string) error) Tally {
	t := Tally{Texts: len(texts)}
	for _, text := range texts {
		for _, form := range []string{text, "SELECT * FROM t2 WHERE x = '" + text + "'", "SELECT * FROM users WHERE id = " + text, `SELECT "` + text + `" FROM t2`} {
			one, cancel := context.WithTimeout(ctx, limit)
			err := run(one, form)
			cancel()
			var refused *engine.Error
			t.Statements++
			switch {
			case errors.As(err, &refused):
				t.Refused++
			case errors.Is(err, context.DeadlineExceeded):
				t.Late = append(t.Late, form)
			}
		}
	}
	return t
}
