package parcel

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// runtimeDir is a directory beside node_modules with bun under the name of node, for programs that ask for node: where
// there is none, or where bun is to be used in its place.
const runtimeDir = "runtime"

// parseBun reads what follows bunx or bun x.
func parseBun(p *Parcel, words []string) (*Parcel, error) {
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		word, rest := words[0], words[1:]
		name, _, _ := strings.Cut(word, "=")
		words = rest
		switch {
		case word == "--bun":
			p.runtime = true
		case word == "--silent" || word == "--verbose":
		case name == "-p" || name == "--package":
			var spec string
			var err error
			if _, spec, words, err = option(word, rest); err != nil {
				return nil, err
			}
			p.Specs = append(p.Specs, spec)
		default:
			return nil, other("%s is not known here", word)
		}
	}
	if len(p.Specs) > 1 {
		return nil, other("more than one package is named")
	}
	if len(words) > 0 && len(p.Specs) == 0 && (words[0] == "tsc" || words[0] == "claude") {
		return nil, other("%q is a name that bunx has its own package for", words[0])
	}
	return p.named(words)
}

// prepareBun makes, in the directory that it is started in, what bun looks for in those above otherwise, and the runtime.
const prepareBun = `const fs = require("fs"); fs.writeFileSync("package.json", "{}"); fs.mkdirSync("` + runtimeDir + `");` +
	`fs.symlinkSync(process.execPath, "` + runtimeDir + `/node")`

func (p *Parcel) stepsBun(dir string, scripts bool) [][]string {
	install := append(slices.Clone(p.tool), "add", "--cwd", dir, "--no-progress", "--no-summary")
	if scripts {
		install = append(install, "--trust")
	} else {
		install = append(install, "--ignore-scripts")
	}
	return [][]string{append(slices.Clone(p.tool), "-e", prepareBun), append(install, p.Specs...)}
}

// bunPlaces are the registries of bun's settings if the one that is not for a scope is among these: without, bun has one
// of its own.
func bunPlaces(lookup func(string) string) []string {
	var places []string
	for _, name := range []string{"BUN_CONFIG_REGISTRY", "NPM_CONFIG_REGISTRY", "npm_config_registry"} {
		if place := lookup(name); place != "" {
			places = append(places, place)
		}
	}
	first := len(places) > 0
	npmrc := regexp.MustCompile(`^\s*(@[^:\s]+:)?registry\s*=\s*"?([^"\s]+)`)
	quoted := regexp.MustCompile(`^[^#]*"(https?://[^"]+)"`)
	standard := regexp.MustCompile(`^\s*(install\.)?registry\s*=|^\s*\[install\.registry\]`)
	for _, file := range bunSettings(lookup) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // most have none
		}
		place := quoted
		if filepath.Base(file) == ".npmrc" {
			place = npmrc
		}
		for line := range strings.Lines(string(text)) {
			first = first || standard.MatchString(line)
			if match := place.FindStringSubmatch(line); match != nil {
				places = append(places, match[len(match)-1])
			}
		}
	}
	if !first {
		return nil
	}
	return places
}

func bunSettings(lookup func(string) string) []string {
	home := lookup("HOME")
	files := []string{filepath.Join(home, ".npmrc"), filepath.Join(home, ".bunfig.toml")}
	if dir := lookup("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		files = append(files, filepath.Join(dir, ".bunfig.toml"))
	}
	return files
}

func bunCaches(lookup func(string) string) []string {
	for _, at := range [][2]string{{"BUN_INSTALL_CACHE_DIR", ""}, {"BUN_INSTALL", "install/cache"}, {"HOME", ".bun/install/cache"}} {
		if dir := lookup(at[0]); filepath.IsAbs(dir) {
			return []string{filepath.Join(dir, at[1])}
		}
	}
	return nil
}

// findRuntime adds to what was found how bun stands in for node.
func (p *Parcel) findRuntime(dir string, f *Found) error {
	link := filepath.Join(dir, runtimeDir, "node")
	bun, err := filepath.EvalSymlinks(link)
	if err != nil {
		return fmt.Errorf("find the bun that package %s was fetched with: %w", p.Specs[0], err)
	}
	f.Runtimes = []string{bun}
	if p.runtime {
		f.Before = filepath.Dir(link)
	} else {
		f.Behind = filepath.Dir(link)
	}
	return nil
}

// scripted are the packages that have install scripts, as they say of themselves; at most 10.
func scripted(modules string) []string {
	var names []string
	for _, pattern := range []string{"*/package.json", "@*/*/package.json"} {
		files, _ := filepath.Glob(filepath.Join(modules, pattern)) // the pattern is right
		for _, file := range files {
			var manifest struct {
				Scripts map[string]json.RawMessage `json:"scripts"`
			}
			if readJSON(file, &manifest) != nil {
				continue // it is a courtesy
			}
			if cmp.Or(len(manifest.Scripts["preinstall"]), len(manifest.Scripts["install"]), len(manifest.Scripts["postinstall"])) > 0 {
				name, _ := filepath.Rel(modules, filepath.Dir(file)) // it is below
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names[:min(len(names), maxUnrun)]
}
