package dragoman_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// maxChain bounds the longest way from a package down to one that imports nothing of this repository, in steps.
const maxChain = 6

func TestImportsFollowTheTable(t *testing.T) {
	rules := readTable(t, "ARCHITECTURE.md")
	report(t, foreignImports(readTree(t, "."), rules))
}

func TestImportChainsAreShort(t *testing.T) {
	report(t, longChains(readTree(t, "."), maxChain))
}

// A rule is one line of the table: what the packages that match a pattern may import.
type rule struct {
	pattern string
	allowed []string
}

// readTable reads the fenced block "imports" of a Markdown file.
func readTable(t *testing.T, file string) []rule {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, block, opened := strings.Cut(string(text), "\n```imports\n")
	block, _, closed := strings.Cut(block, "\n```")
	if !opened || !closed {
		t.Fatalf("%s has no block that begins with ```imports", file)
	}
	rules := parseTable(block)
	for i, r := range rules {
		for _, other := range rules[:i] {
			if r.pattern == other.pattern {
				t.Errorf("%s: two lines for %s in the table of imports", file, r.pattern)
			}
		}
	}
	return rules
}

func parseTable(block string) []rule {
	var rules []rule
	for line := range strings.Lines(block) {
		if words := strings.Fields(line); len(words) > 0 {
			rules = append(rules, rule{pattern: words[0], allowed: words[1:]})
		}
	}
	return rules
}

// matches says whether a pattern of the table means dir.
func matches(pattern, dir string) bool {
	if pattern == "*" || pattern == dir {
		return true
	}
	room, all := strings.CutSuffix(pattern, "/...")
	return all && inside(dir, room)
}

// ruleFor is the most specific line for dir: the longest pattern, where one without dots beats one with.
func ruleFor(rules []rule, dir string) (rule, bool) {
	var best rule
	for _, r := range rules {
		if !matches(r.pattern, dir) {
			continue
		}
		if r.pattern == dir {
			return r, true
		}
		if len(r.pattern) > len(best.pattern) {
			best = r
		}
	}
	return best, best.pattern != ""
}

// foreignImports finds packages that the table does not know and imports that it does not allow.
func foreignImports(h *tree, rules []rule) []offence {
	var found []offence
	for dir, files := range packages(h.product(true)) {
		r, ok := ruleFor(rules, dir)
		if !ok {
			found = append(found, offence{file: dir, text: "package has no line in the table of imports of ARCHITECTURE.md"})
			continue
		}
		for _, s := range files {
			for _, spec := range s.syntax.Imports {
				target, ours := ownImport(spec.Path.Value)
				allowed := func(pattern string) bool { return matches(pattern, target) }
				if ours && !slices.ContainsFunc(r.allowed, allowed) {
					found = append(found, h.at(spec, "%s may not import %s: the table in ARCHITECTURE.md allows it %v", dir, target, r.allowed))
				}
			}
		}
	}
	return found
}

// ownImport is the directory of an import of this repository.
func ownImport(quoted string) (dir string, ours bool) {
	return strings.CutPrefix(strings.Trim(quoted, `"`), modulePath+"/")
}

// longChains finds the packages from which imports go more than limit steps deep. Programs for tests do not count.
func longChains(h *tree, limit int) []offence {
	imports := map[string][]string{}
	for dir, files := range packages(h.product(true)) {
		if forTests(dir) {
			continue
		}
		for _, s := range files {
			for _, spec := range s.syntax.Imports {
				if target, ours := ownImport(spec.Path.Value); ours {
					imports[dir] = append(imports[dir], target)
				}
			}
		}
	}
	chains := map[string][]string{}
	var found []offence
	for _, dir := range slices.Sorted(maps.Keys(imports)) {
		if chain := longestChain(dir, imports, chains); len(chain) > limit {
			found = append(found, offence{file: dir, text: fmt.Sprintf("imports go %d steps deep, want at most %d: %s",
				len(chain), limit, strings.Join(append([]string{dir}, chain...), " → "))})
		}
	}
	return found
}

// longestChain is what follows dir on the longest way down. The compiler refuses cycles, so the search ends.
func longestChain(dir string, imports, known map[string][]string) []string {
	if chain, ok := known[dir]; ok {
		return chain
	}
	known[dir] = nil
	var longest []string
	for _, next := range imports[dir] {
		if chain := longestChain(next, imports, known); len(chain)+1 > len(longest) {
			longest = append([]string{next}, chain...)
		}
	}
	known[dir] = longest
	return longest
}
