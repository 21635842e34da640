package dragoman_test

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	command   = "./cmd/dragoman"
	linkedTxt = "deps.txt"
)

var writeDeps = flag.Bool("deps", false, "write "+linkedTxt+" instead of comparing with it")

// TestLinkedModulesAreListed compares deps.txt with the modules that the command links, so that a new one is seen in
// review. `make deps` writes it.
func TestLinkedModulesAreListed(t *testing.T) {
	linked := linkedPackages(t)
	modules := map[string]bool{}
	for _, p := range linked {
		if p.module != "" && p.module != modulePath {
			modules[p.module] = true
		}
	}
	got := strings.Join(slices.Sorted(maps.Keys(modules)), "\n") + "\n"
	if *writeDeps {
		if err := os.WriteFile(linkedTxt, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(linkedTxt)
	if err != nil {
		t.Fatalf("%v: run make deps", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the command links other modules than %s lists; run make deps and tell in docs/decisions/dependencies.md why (-listed +linked):\n%s", linkedTxt, diff)
	}
}

// TestNothingForTestsIsLinked keeps the packages that only tests need out of the command.
func TestNothingForTestsIsLinked(t *testing.T) {
	for _, p := range linkedPackages(t) {
		dir, ours := ownImport(p.path)
		if p.path == "testing" || p.path == "net/http/httptest" || ours && forTests(dir) {
			t.Errorf("the command links %s, which is for tests; `go mod why -m` and `go list -deps` tell through whom", p.path)
		}
	}
}

// TestDependenciesAreExplained wants a word in docs/decisions/dependencies.md about each module that go.mod requires
// directly.
func TestDependenciesAreExplained(t *testing.T) {
	text, err := os.ReadFile("docs/decisions/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range directModules(string(mod)) {
		if !strings.Contains(string(text), module) {
			t.Errorf("go.mod requires %s, and docs/decisions/dependencies.md does not say why", module)
		}
	}
}

// directModules reads the modules of go.mod that are not marked as indirect.
func directModules(mod string) []string {
	var modules []string
	for line := range strings.Lines(mod) {
		words := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(words) >= 2 && strings.HasPrefix(words[1], "v") && !strings.Contains(line, "// indirect") {
			modules = append(modules, words[0])
		}
	}
	return modules
}

type linkedPackage struct{ path, module string }

// linkedPackages asks the go command what the dragoman command is made of.
func linkedPackages(t *testing.T) []linkedPackage {
	t.Helper()
	if files, _ := filepath.Glob(command + "/*.go"); len(files) == 0 {
		t.Skipf("%s does not exist yet", command)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", command)
	var complaint strings.Builder
	list.Stderr = &complaint
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", command, err, complaint.String())
	}
	var packages []linkedPackage
	for line := range strings.Lines(string(out)) {
		path, module, _ := strings.Cut(strings.TrimSpace(line), " ")
		packages = append(packages, linkedPackage{path, module})
	}
	return packages
}
