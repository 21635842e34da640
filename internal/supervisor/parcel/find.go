package parcel

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
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
	// Unrun are packages whose install scripts were not run, at most maxUnrun.
	Unrun []string
	// Runtimes are the programs outside of the directory that run it: bun where there is no node, a Python.
	Runtimes []string

	// Before and Behind are directories for the PATH, before Bin and behind all others; empty for none.
	Before, Behind string
}

// maxUnrun bounds what is told of install scripts that were not run.
const maxUnrun = 10

// Path is the PATH for the program, given the one that it would have without being fetched.
func (f *Found) Path(without string) string {
	dirs := slices.DeleteFunc([]string{f.Before, f.Bin, without, f.Behind}, func(dir string) bool { return dir == "" })
	return strings.Join(dirs, string(filepath.ListSeparator))
}

// Find looks for the program in a directory into which the parcel was fetched. It fails when the package has no such
// program, and says which it has.
func (p *Parcel) Find(dir string, scripts bool) (Found, error) {
	if p.kind == npm || p.kind == bun {
		return p.findNpm(dir, scripts)
	}
	f := Found{Bin: filepath.Join(dir, "venv", "bin")}
	f.Program = filepath.Join(f.Bin, p.Program)
	if python, err := filepath.EvalSymlinks(filepath.Join(f.Bin, "python")); err == nil {
		f.Runtimes = []string{python}
	}
	infos, _ := filepath.Glob(filepath.Join(dir, "venv", "lib", "python*", "site-packages", "*.dist-info")) // the pattern is right
	for _, info := range infos {
		pack, version, _ := strings.Cut(strings.TrimSuffix(filepath.Base(info), ".dist-info"), "-")
		if canonical(pack) != canonical(name(p.Specs[0])) {
			continue
		}
		f.Version = version
		if _, err := os.Stat(f.Program); err == nil || p.kind != pipx || p.Program != canonical(pack) {
			continue
		}
		if script := onlyScript(info); script != "" {
			f.Program = filepath.Join(f.Bin, script)
		}
	}
	return f, p.there(f)
}

// there fails when the program is missing.
func (p *Parcel) there(f Found) error {
	if filepath.Dir(f.Program) == f.Bin {
		if info, err := os.Stat(f.Program); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return nil
		}
	}
	var have []string
	entries, _ := os.ReadDir(f.Bin) // without it there are none
	for _, e := range entries {
		have = append(have, e.Name())
	}
	return fmt.Errorf("package %s has no program %q; it and what it needs have: %s", p.Specs[0], filepath.Base(f.Program), strings.Join(have[:min(len(have), 20)], ", "))
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
		if program, err = p.only(pack, manifest.Bin); err != nil {
			return f, err
		}
	}
	if program != filepath.Base(program) || program == "." || program == ".." {
		return f, fmt.Errorf("package %s has a program of the name %q, which is a path", pack, program)
	}
	f.Program = filepath.Join(f.Bin, program)
	switch {
	case scripts:
	case p.kind == bun:
		f.Unrun = scripted(modules)
	default:
		f.Unrun = unrun(modules)
	}
	if p.kind == bun {
		if err := p.findRuntime(dir, &f); err != nil {
			return f, err
		}
	}
	return f, p.there(f)
}

// only is the program that a package is known for.
func (p *Parcel) only(pack string, bin json.RawMessage) (string, error) {
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
	return "", fmt.Errorf("package %s has several programs and none of its own name: write %s --package=%s NAME with one of %s",
		pack, map[kind]string{npm: "npx", bun: "bunx"}[p.kind], pack, strings.Join(names, ", "))
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
	return names[:min(len(names), maxUnrun)]
}

func readJSON(file string, into any) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return json.NewDecoder(io.LimitReader(f, maxManifest)).Decode(into)
}

// Local reports whether the launcher would take the package from the directory that it is started in, or one above,
// without fetching it, or, as bunx does, what has its name in the PATH. An empty dir is the directory of this process;
// lookup gives the environment.
func (p *Parcel) Local(dir string, lookup func(string) string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil || p.kind != npm && p.kind != bun {
		return false
	}
	if spec := p.Specs[0]; p.kind == bun && name(spec) == spec {
		for _, entry := range filepath.SplitList(lookup("PATH")) {
			if info, err := os.Stat(filepath.Join(entry, cmp.Or(p.Program, path.Base(spec)))); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return true
			}
		}
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
