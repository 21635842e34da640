package dragoman_test

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	ignorance = regexp.MustCompile(`(?i)\b(knows? nothing|(does|do) not know|(doesn't|don't) know)\b`)
	// Written in pieces, so that a search for them finds only real ones.
	silencer = regexp.MustCompile(`//\s*(no` + `lint|lint:` + `ignore|#no` + `sec)|@ts-` + `ignore|eslint-` + `disable`)
	openTask = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b(\(#\d+\))?`)
)

// packagesWithoutDoc wants of each package a comment that says what it is for and, in the words of ignorance, what it
// does not know. Packages that consist of tests need none.
func packagesWithoutDoc(h *tree) []offence {
	var found []offence
	for dir, files := range packages(h.product(true)) {
		var doc strings.Builder
		for _, s := range files {
			if s.syntax.Doc != nil {
				doc.WriteString(s.syntax.Doc.Text())
			}
		}
		words := strings.Join(strings.Fields(doc.String()), " ")
		switch {
		case words == "":
			found = append(found, offence{file: dir, text: "package has no doc comment: say what it is for and what it does not know"})
		case !ignorance.MatchString(words):
			found = append(found, offence{file: dir, text: `package comment does not say what the package does not know ("It knows nothing of …", "It does not know …")`})
		}
	}
	return found
}

var empty = []string{"util", "utils", "common", "types", "helper", "helpers", "manager", "base"}

// emptyNames finds names that say nothing of what is inside.
func emptyNames(h *tree) []offence {
	var found []offence
	for dir, files := range packages(h.product(true)) {
		for _, part := range strings.Split(dir, "/") {
			if slices.Contains(empty, part) {
				found = append(found, offence{file: dir, text: fmt.Sprintf("directory %q: name it after what it holds", part)})
			}
		}
		for _, s := range files {
			if stem := strings.TrimSuffix(path.Base(s.file), ".go"); slices.Contains(empty, stem) {
				found = append(found, offence{file: s.file, text: fmt.Sprintf("file %q: name it after what it holds", stem)})
			}
			if name := s.syntax.Name.Name; slices.Contains(empty, name) {
				found = append(found, h.at(s.syntax.Name, "package %s: name it after what it holds", name))
			}
		}
	}
	return found
}

func silencers(h *tree) []offence {
	var found []offence
	for _, s := range h.sources {
		for _, group := range s.syntax.Comments {
			for _, comment := range group.List {
				if words := silencer.FindString(comment.Text); words != "" {
					found = append(found, h.at(comment, "%q silences a rule: keep the rule or delete it", words))
				}
				for _, match := range openTask.FindAllStringSubmatch(comment.Text, -1) {
					if match[2] == "" {
						found = append(found, h.at(comment, "%s without an issue: write %s(#123), or do it", match[1], match[1]))
					}
				}
			}
		}
	}
	return found
}

// sleepers finds time.Sleep in tests: a test that waits for a duration is slow or wrong. Wait for what should happen
// (a channel, testing/synctest, a deadline on a poll).
func sleepers(h *tree) []offence {
	var found []offence
	for _, s := range h.sources {
		if !s.test {
			continue
		}
		for _, u := range s.uses() {
			if u.path == "time" && u.name == "Sleep" {
				found = append(found, h.at(u.node, "time.Sleep in a test: wait for what should happen"))
			}
		}
	}
	return found
}

// leakers wants a TestMain with goleak in each package that has tests.
func leakers(h *tree) []offence {
	var found []offence
	for dir, files := range packages(h.sources) {
		tests, guarded := false, false
		for _, s := range files {
			tests = tests || s.test
			guarded = guarded || s.test && checksLeaks(s)
		}
		if tests && !guarded {
			found = append(found, offence{file: dir, text: "tests without func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }"})
		}
	}
	return found
}

func checksLeaks(s *source) bool {
	uses := slices.ContainsFunc(s.uses(), func(u use) bool {
		return u.path == "go.uber.org/goleak" && (u.name == "VerifyTestMain" || u.name == "Find")
	})
	return uses && slices.ContainsFunc(s.syntax.Decls, func(decl ast.Decl) bool {
		function, ok := decl.(*ast.FuncDecl)
		return ok && function.Recv == nil && function.Name.Name == "TestMain"
	})
}

func assertionFrameworks(h *tree) []offence {
	var found []offence
	for _, s := range h.sources {
		for _, spec := range s.syntax.Imports {
			for _, framework := range []string{"stretchr/testify", "onsi/gomega", "onsi/ginkgo", "gotest.tools", "matryer/is"} {
				if strings.Contains(spec.Path.Value, framework) {
					found = append(found, h.at(spec, "imports %s: compare with the standard library and go-cmp", spec.Path.Value))
				}
			}
		}
	}
	return found
}
