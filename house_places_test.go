package dragoman_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Where packages come from is for the tools of whoever builds to know; a lock file that names a host breaks every
// mirror. Written in pieces, so that a search finds only real ones.
var (
	packageHost = regexp.MustCompile(`registry\.npm` + `js|registry\.yarn` + `pkg|proxy\.go` + `lang|files\.python` + `hosted|pypi\.` + `org`)
	lockedHost  = regexp.MustCompile(`"resolved": *"https?:`)
)

func TestNoFileNamesWherePackagesComeFrom(t *testing.T) {
	var found []offence
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".github" || entry.Name() == ".ci" {
				return nil
			}
			return skipDirectory(name, entry.Name())
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(name)
		found = append(found, packageHosts(filepath.ToSlash(name), string(text))...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	report(t, found)
}

func TestPackageHostsAreFound(t *testing.T) {
	lock := "{\n  \"resolved\": \"https://mirror.example/x.tgz\"\n}\nhttps://registry.npm" + "js.org/x\n"
	if got := packageHosts("package-lock.json", lock); len(got) != 2 || got[0].line != 2 || got[1].line != 4 {
		t.Errorf("packageHosts(%q) = %v, want an offence in lines 2 and 4", lock, got)
	}
	for _, fine := range []string{"https://example.org/registry", "\"resolved\": true", "\xff registry.npm" + "js.org"} {
		if got := packageHosts("x", fine); len(got) != 0 {
			t.Errorf("packageHosts(%q) = %v, want none", fine, got)
		}
	}
}

// packageHosts finds hosts of package registries in a file, if it is text.
func packageHosts(name, text string) []offence {
	if !utf8.ValidString(text) {
		return nil
	}
	var found []offence
	for i, line := range slices.Collect(strings.Lines(text)) {
		if host := packageHost.FindString(line) + lockedHost.FindString(line); host != "" {
			found = append(found, offence{file: name, line: i + 1, text: fmt.Sprintf("%q says where packages come from: leave that to the tools", host)})
		}
	}
	return found
}
