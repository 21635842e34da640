package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tests finds every test and fuzz target of the repository: the directories of each name.
func tests(t *testing.T) map[string]map[string]bool {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	found := map[string]map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			if found[m[1]] == nil {
				found[m[1]] = map[string]bool{}
			}
			found[m[1]][filepath.ToSlash(dir)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// list is the document, and how many entries its tables of ids must have.
const list = "../../docs/security.md"

var ids = map[string]int{"T": 63, "P": 30}

// row is "| T01 what | tests | remarks |".
var entry = regexp.MustCompile(`(?m)^\| ([TP]\d\d) [^|]*\| ([^|]*) \| ([^|]*)\|$`)

func TestEveryThreatAndPromiseHasItsTestsOrSaysWhyNot(t *testing.T) {
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	_, tables, found := strings.Cut(string(text), "\n## Every threat\n")
	tables, _, ends := strings.Cut(tables, "\n## The way out")
	if !found || !ends {
		t.Fatalf("%s has no tables of threats and promises", list)
	}
	known, seen := tests(t), map[string]bool{}
	for _, m := range entry.FindAllStringSubmatch(tables, -1) {
		id, named, remark := m[1], m[2], m[3]
		if seen[id] {
			t.Errorf("%s stands there twice", id)
		}
		seen[id] = true
		if named == "—" {
			if !strings.Contains(remark, "waiting: ") {
				t.Errorf("%s has no test and does not say what it waits for", id)
			}
			continue
		}
		for group := range strings.SplitSeq(named, "; ") {
			dir, names, ok := strings.Cut(strings.TrimPrefix(group, "`"), "` ")
			if !ok {
				t.Errorf("%s: %q is not a directory and its tests", id, group)
			}
			for name := range strings.SplitSeq(names, ", ") {
				if !known[name][dir] {
					t.Errorf("%s: there is no %s in %s; it is in %v: put that into %s", id, name, dir, known[name], list)
				}
			}
		}
	}
	for letter, n := range ids {
		for i := 1; i <= n; i++ {
			if id := fmt.Sprintf("%s%02d", letter, i); !seen[id] {
				t.Errorf("%s is missing in %s", id, list)
			}
		}
	}
}

// Names of tests in the rest of the document are those of tests that exist.
func TestEveryTestThatTheListOfThreatsNamesExists(t *testing.T) {
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	known := tests(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)(?:/\\w+)?`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 100 {
		t.Fatalf("only %d tests are named in %s: is this the document?", len(named), list)
	}
	for _, m := range named {
		if known[m[1]] == nil {
			t.Errorf("%s names %s, which does not exist", list, m[1])
		}
	}
}
