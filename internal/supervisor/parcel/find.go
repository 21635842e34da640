package parcel

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxManifest bounds a file of a package that is read, in bytes.
const maxManifest = 32 << 20

// Found is what was fetched.
type Found struct {
	// Program is the path of the program that is started.
	Program string
	// Bin is where it and its like are, for the PATH.
	Bin string
	// Version is that of the package that is meant; empty when it does not say.
	Version string
	// Unrun are packages whose install scripts were not run, at most 10.
	Unrun []string
}

// Find looks for the program in a directory into which the parcel was fetched. It fails when the package has no such
// program, and says which it has.
func (p *Parcel) Find(dir string, scripts bool) (Found, error) {
	if p.kind == npm {
		return p.findNpm(dir, scripts)
	}
	f := Found{Bin: filepath.Join(dir, "venv", "bin")}
	f.Program = filepath.Join(f.Bin, p.Program)
	plain := strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(name(p.Specs[0]), "_"))
	infos, _ := filepath.Glob(filepath.Join(dir, "venv", "lib", "python*", "site-packages", "*.dist-info")) // the pattern is right
	for _, info := range infos {
		pack, version, _ := strings.Cut(strings.TrimSuffix(filepath.Base(info), ".dist-info"), "-")
		if strings.EqualFold(strings.ReplaceAll(pack, ".", "_"), plain) {
			f.Version = version
		}
	}
	return f, p.there(f)
}

// there fails when the program is missing.
func (p *Parcel) there(f Found) error {
	program := filepath.Base(f.Program)
	if program == p.Program || p.Program == "" {
		if info, err := os.Stat(f.Program); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return nil
		}
	}
	var have []string
	entries, _ := os.ReadDir(f.Bin) // without it there are none
	for _, e := range entries {
		have = append(have, e.Name())
	}
	return fmt.Errorf("package %s has no program %q; it and what it needs have: %s", p.Specs[0], program, strings.Join(have[:min(len(have), 20)], ", "))
}

// findNpm follows npx: the only program of a package, else the one of its name.
func (p *Parcel) findNpm(dir string, scripts bool) (Found, error) {
	modules := filepath.Join(dir, "node_modules")
	f := Found{Bin: filepath.Join(modules, ".bin")}
	pack := name(p.Specs[0])
	var manifest struct {
		Version string          `json:"version"`
		Bin     json.RawMessage `json:"bin"`
	}
	if err := readJSON(filepath.Join(modules, pack, "package.json"), &manifest); err != nil {
		return f, fmt.Errorf("read what package %s says of itself: %w", pack, err)
	}
	f.Version = manifest.Version
	program := p.Program
	if program == "" {
		var err error
		if program, err = only(pack, manifest.Bin); err != nil {
			return f, err
		}
	}
	if program != filepath.Base(program) || program == "." || program == ".." {
		return f, fmt.Errorf("package %s has a program of the name %q, which is a path", pack, program)
	}
	f.Program = filepath.Join(f.Bin, program)
	if !scripts {
		f.Unrun = unrun(modules)
	}
	return f, p.there(f)
}

// only is the program that a package is known for.
func only(pack string, bin json.RawMessage) (string, error) {
	_, own, scoped := strings.Cut(pack, "/")
	if !scoped {
		own = pack
	}
	var path string
	if json.Unmarshal(bin, &path) == nil && path != "" {
		return own, nil
	}
	var programs map[string]string
	if len(bin) > 0 && json.Unmarshal(bin, &programs) != nil {
		return "", fmt.Errorf("package %s says in no known way which programs it has", pack)
	}
	names := slices.Sorted(maps.Keys(programs))
	if len(slices.Compact(slices.Sorted(maps.Values(programs)))) == 1 {
		return names[0], nil
	}
	if _, ok := programs[own]; ok {
		return own, nil
	}
	if len(names) == 0 {
		return "", fmt.Errorf("package %s has no program", pack)
	}
	return "", fmt.Errorf("package %s has several programs and none of its own name: write npx --package=%s NAME with one of %s",
		pack, pack, strings.Join(names, ", "))
}

// unrun are the packages that have install scripts, as npm has noted.
func unrun(modules string) []string {
	var lock struct {
		Packages map[string]struct {
			Script bool `json:"hasInstallScript"`
		} `json:"packages"`
	}
	if readJSON(filepath.Join(modules, ".package-lock.json"), &lock) != nil {
		return nil // it is a courtesy
	}
	var names []string
	const below = "node_modules/"
	for path, pack := range lock.Packages {
		if at := strings.LastIndex(path, below); pack.Script && at >= 0 {
			names = append(names, path[at+len(below):])
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), 10)]
}

func readJSON(file string, into any) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return json.NewDecoder(io.LimitReader(f, maxManifest)).Decode(into)
}

// Local reports whether npx would take the package from the directory that it is started in, or one above, without
// fetching it. An empty dir is the directory of this process.
func (p *Parcel) Local(dir string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil || p.kind != npm {
		return false
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", name(p.Specs[0]), "package.json")); err == nil {
			return true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false
		}
		dir = up
	}
}
