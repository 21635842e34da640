package selftest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
)

// asJSON is a text as JSON, for texts that need not be UTF-8: those become U+FFFD, as any client would write them.
func asJSON(v any) string {
	b, _ := json.Marshal(v) // texts and maps of texts can be marshalled
	return string(b)
}

// fetched asks the server web for destinations that are addresses; for names the machine's resolver would be asked.
func fetched(ctx context.Context, t *Target, r *Result) error {
	if t.Own == nil {
		r.Skipped = notOwn
		return nil
	}
	all, err := corpus.Destinations()
	if err != nil {
		return err
	}
	attacks := map[string]request{}
	for _, d := range all {
		u, err := url.Parse(d.URL)
		if d.Open || len(d.Answers) > 0 || err == nil && !literal(u.Hostname()) && strings.HasPrefix(u.Scheme, "http") {
			continue
		}
		attacks[d.URL] = t.call("web__fetch", asJSON(map[string]string{"url": d.URL}))
	}
	attacks["the instance itself"] = t.call("web__fetch", asJSON(map[string]string{"url": t.URL + "/health"}))
	attacks["the instance by name"] = t.call("web__fetch", asJSON(map[string]string{"url": strings.Replace(t.URL, "127.0.0.1", "localhost", 1) + "/health"}))
	return t.each(ctx, r, attacks, noResult)
}

// literal says whether a host is an address in the usual form.
func literal(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// paths leads the server files out of its directory, to read and to write.
func paths(ctx context.Context, t *Target, r *Result) error {
	if t.Own == nil {
		r.Skipped = notOwn
		return nil
	}
	if err := t.climb(ctx, r, corpus.Climbs(strings.TrimPrefix(filepath.ToSlash(t.Own.Outside), "/"))); err != nil {
		return err
	}
	if err := t.climb(ctx, r, corpus.Climbs(filepath.Base(t.Own.Outside))); err != nil {
		return err
	}
	for _, path := range []string{"a.txt", "a..b", "a..", "a b.txt", "ünï/çødé.txt", "100%.md", "漢字.md", "deep/er/and/deeper.txt", "a'b.txt", "-rf", "a;b|c&d.txt"} {
		a, err := t.send(ctx, t.call("files__write", asJSON(map[string]any{"path": path, "text": "harmless", "create": true})))
		if err != nil {
			return err
		}
		got, err := t.send(ctx, t.call("files__read", asJSON(map[string]string{"path": path})))
		if err != nil {
			return err
		}
		r.harmless(a.result() && got.result() && strings.Contains(got.text(), "harmless"), "%s: write %s, read %s", path, a, got)
	}
	return nil
}

// climb tries paths that lead outside. Reading one is let through when the text outside comes back; writing, when
// something outside is there or has changed.
func (t *Target) climb(ctx context.Context, r *Result, all []string) error {
	for _, path := range all {
		a, err := t.send(ctx, t.call("files__read", asJSON(map[string]string{"path": path})))
		if err != nil {
			return err
		}
		r.attack(noResult(a) && !strings.Contains(a.body, t.Own.Canary), "read %q: %s", path, a)
	}
	before, err := surroundings(t.Own)
	if err != nil {
		return err
	}
	for _, path := range all {
		_, err := t.send(ctx, t.call("files__write", asJSON(map[string]any{"path": path + ".new", "text": "x", "create": true})))
		if err != nil {
			return err
		}
		after, err := surroundings(t.Own)
		if err != nil {
			return err
		}
		r.attack(after == before, "write %q: around the directory there is now %s", path+".new", after)
		before = after
	}
	return nil
}

// surroundings lists what is beside the directory that is served.
func surroundings(o *Own) (string, error) {
	entries, err := os.ReadDir(filepath.Dir(o.Root))
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	text, err := os.ReadFile(o.Outside)
	return fmt.Sprintf("%q and %q", names, text), err
}

// publishedPaths reads the lists of a checkout, with {FILE} in them replaced.
func publishedPaths(ctx context.Context, t *Target, r *Result) error {
	if t.Own == nil || t.Data == "" {
		r.Skipped = notGiven
		if t.Own == nil {
			r.Skipped = notOwn
		}
		return nil
	}
	target := strings.TrimPrefix(t.Own.Outside, "/")
	for _, file := range []string{"deep_traversal.txt", "directory_traversal.txt", "dotdotpwn.txt", "traversals-8-deep-exotic-encoding.txt"} {
		lines, err := t.lines("swisskyrepo/PayloadsAllTheThings", "Directory Traversal/Intruder/"+file)
		if err != nil {
			return err
		}
		for i, line := range lines {
			lines[i] = strings.NewReplacer("{FILE}", target, "\\etc\\passwd", "/"+target, "etc/passwd", target).Replace(line)
		}
		if err := t.climb(ctx, r, lines); err != nil {
			return err
		}
	}
	if r.Attacks == 0 {
		r.Skipped = notGiven
	}
	return nil
}

// statements goes through the server database to a database of SQLite. One is let through when it is answered, or when
// anything in the directory of the database has changed.
func statements(ctx context.Context, t *Target, r *Result) error {
	if t.Own == nil {
		r.Skipped = notOwn
		return nil
	}
	all, err := corpus.Statements()
	if err != nil {
		return err
	}
	before, err := content(t.Own.Database)
	if err != nil {
		return err
	}
	for _, statement := range all {
		statement = strings.ReplaceAll(statement, "{DIR}", t.Own.Database)
		a, err := t.send(ctx, t.call("database__query", asJSON(map[string]string{"sql": statement})))
		if err != nil {
			return err
		}
		after, err := content(t.Own.Database)
		if err != nil {
			return err
		}
		r.attack(noResult(a) && before == after, "%q: %s", statement, a)
		before = after
	}
	for _, statement := range []string{"SELECT * FROM t", "WITH x AS (SELECT a FROM t) SELECT count(*) FROM x", "SELECT b FROM f WHERE f MATCH 'words'", "SELECT 'DROP TABLE t; --'", "VALUES (1, 2)",
		"SELECT 1 -- ; DELETE FROM t", "SELECT a FROM v ORDER BY a;", "SELECT \"a\" AS \"delete\" FROM t", "SELECT max(a), group_concat(b) FROM t GROUP BY a > 1"} {
		a, err := t.send(ctx, t.call("database__query", asJSON(map[string]string{"sql": statement})))
		if err != nil {
			return err
		}
		r.harmless(a.result(), "%q: %s", statement, a)
	}
	return nil
}

// content is every file of a directory but the journals that SQLite keeps while it reads.
func content(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "-shm") || strings.HasSuffix(e.Name(), "-wal") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s %d\n%s", e.Name(), len(text), text)
	}
	return b.String(), nil
}
