// The laws of the house as tests. Each law is a function from the tree of source files to the offences that it finds, so
// that house_laws_test.go can show every law both a tree that keeps it and a tree that breaks it. What the laws are for
// is told in ARCHITECTURE.md, which also holds the table of imports that is read here.
package dragoman_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

const modulePath = "github.com/dragoman-mcp/dragoman"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A law finds what breaks it.
type law struct {
	name   string
	broken func(*tree) []offence
}

// laws need nothing but the Go files; the table of imports and the linked modules have tests of their own.
var laws = []law{
	{"every package says what it is for and what it does not know", packagesWithoutDoc},
	{"no package, directory or file has an empty name", emptyNames},
	{"a function has at most 60 lines", longFunctions},
	{"a file has at most 500 lines", longFiles},
	{"a function has at most 5 parameters", wideFunctions},
	{"blocks nest at most 3 deep", deepFunctions},
	{"a package exports at most 25 names", broadPackages},
	{"no package has an init function", initFunctions},
	{"no package has mutable state", mutableState},
	{"nobody but internal/egress reaches for the network", dialers},
	{"nobody but internal/supervisor starts a process", starters},
	{"no test sleeps", sleepers},
	{"no linter is silenced and no task is left without an issue", silencers},
	{"every package with tests fails on leaked goroutines", leakers},
	{"tests use the standard library and no assertion framework", assertionFrameworks},
}

func TestHouse(t *testing.T) {
	house := readTree(t, ".")
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) { report(t, law.broken(house)) })
	}
}

// An offence is one place that breaks a law.
type offence struct {
	file string // relative to the root, with slashes
	line int    // 0 when the whole file or directory is meant
	text string
}

func (o offence) String() string {
	if o.line == 0 {
		return o.file + ": " + o.text
	}
	return fmt.Sprintf("%s:%d: %s", o.file, o.line, o.text)
}

func report(t *testing.T, offences []offence) {
	t.Helper()
	slices.SortFunc(offences, func(a, b offence) int {
		if c := strings.Compare(a.file, b.file); c != 0 {
			return c
		}
		return a.line - b.line
	})
	for _, o := range offences {
		t.Error(o)
	}
}

// A source is one Go file, parsed.
type source struct {
	file      string // relative to the root, with slashes
	dir       string
	text      string
	syntax    *ast.File
	test      bool // a _test.go file
	generated bool
}

// A tree is the Go files of the repository, those of testdata and of installed packages left out.
type tree struct {
	fset    *token.FileSet
	sources []*source
}

func readTree(t *testing.T, root string) *tree {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipDirectory(name, entry.Name())
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		texts[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatalf("read the tree: %v", err)
	}
	return parseTree(t, texts)
}

// skipDirectory leaves out what git does not keep (see .gitignore) and what is not this project's code.
func skipDirectory(path, name string) error {
	hidden := strings.HasPrefix(name, ".") && path != "."
	if hidden || slices.Contains([]string{"testdata", "node_modules", "bin"}, name) {
		return filepath.SkipDir
	}
	return nil
}

func parseTree(t *testing.T, texts map[string]string) *tree {
	t.Helper()
	house := &tree{fset: token.NewFileSet()}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		syntax, err := parser.ParseFile(house.fset, name, texts[name], parser.ParseComments)
		if err != nil {
			t.Errorf("parse %s: %v", name, err)
			continue
		}
		house.sources = append(house.sources, &source{
			file: name, dir: path.Dir(name), text: texts[name], syntax: syntax,
			test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(syntax),
		})
	}
	return house
}

// at is the offence at a node.
func (h *tree) at(node ast.Node, format string, args ...any) offence {
	position := h.fset.Position(node.Pos())
	return offence{file: position.Filename, line: position.Line, text: fmt.Sprintf(format, args...)}
}

// lines is how many lines a node covers.
func (h *tree) lines(node ast.Node) int {
	return h.fset.Position(node.End()).Line - h.fset.Position(node.Pos()).Line + 1
}

// product yields the files that people wrote and that are not tests; generated files too if asked for.
func (h *tree) product(generated bool) []*source {
	var files []*source
	for _, s := range h.sources {
		if !s.test && (generated || !s.generated) {
			files = append(files, s)
		}
	}
	return files
}

// forTests says whether a directory exists only to test with, and so is free to dial and to start processes.
func forTests(dir string) bool {
	return inside(dir, "test") || inside(dir, "mcp/mcptest") || inside(dir, "server/servertest")
}

// packages groups files by directory.
func packages(sources []*source) map[string][]*source {
	groups := map[string][]*source{}
	for _, s := range sources {
		groups[s.dir] = append(groups[s.dir], s)
	}
	return groups
}

// use is one mention of a name of another package.
type use struct {
	node *ast.SelectorExpr
	path string // import path
	name string
}

func (u use) String() string { return path.Base(u.path) + "." + u.name }

// uses finds each mention of names of imported packages. A local variable that hides the package's name is no mention.
func (s *source) uses() []use {
	imported := map[string]string{}
	for _, spec := range s.syntax.Imports {
		importPath := strings.Trim(spec.Path.Value, `"`)
		name := packageName(importPath)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported[name] = importPath
	}
	var found []use
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if ident, ok := selector.X.(*ast.Ident); ok && ident.Obj == nil && imported[ident.Name] != "" {
			found = append(found, use{selector, imported[ident.Name], selector.Sel.Name})
		}
		return true
	})
	return found
}

// packageName guesses a package's name from its import path: the last part that is not a version.
func packageName(importPath string) string {
	base := path.Base(importPath)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(importPath))
	}
	return strings.TrimPrefix(base, "go-")
}
