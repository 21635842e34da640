package parcel

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Steps are the commands that fetch the parcel into dir, one after the other, where they are started too; lookup gives
// the environment. Without scripts nothing of what is fetched is run: no install scripts of npm's packages, no building
// from source of Python's.
func (p *Parcel) Steps(dir string, scripts bool, lookup func(string) string) [][]string {
	switch p.kind {
	case bun:
		return p.stepsBun(dir, scripts)
	case pipx:
		return p.stepsPip(dir, scripts, lookup)
	case npm:
		install := append(slices.Clone(p.tool), "install", "--prefix", dir, "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error",
			"--global=false", fmt.Sprintf("--ignore-scripts=%v", !scripts))
		if !p.Moving {
			install = append(install, "--prefer-offline") // what npm has got of it is as good, and works without a network
		}
		return [][]string{append(append(install, "--"), p.Specs...)}
	}
	return p.stepsUv(dir, scripts)
}

func (p *Parcel) stepsUv(dir string, scripts bool) [][]string {
	venv := filepath.Join(dir, "venv")
	create := append(slices.Clone(p.tool), "venv", "--quiet", "--no-project")
	if p.python != "" {
		create = append(create, "--python", p.python)
	}
	install := append(slices.Clone(p.tool), "pip", "install", "--quiet", "--no-compile-bytecode", "--python", venv)
	if !scripts {
		install = append(install, "--no-build")
	}
	if p.Moving {
		install = append(install, "--refresh")
	}
	return [][]string{append(create, venv), append(append(install, "--"), p.Specs...)}
}

// compile makes what Python loads faster than its modules, of all below a directory that can be.
const compile = `import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=2)`

// Finish are the commands after Steps, which only add what is made from what was fetched: Python's modules in the form that
// it loads fast, since a program cannot write that into its package when it runs. Nothing of the package is run by them: -S
// leaves out what a package may have started with every Python.
func (p *Parcel) Finish(dir string) [][]string {
	if p.kind != uv && p.kind != pipx {
		return nil
	}
	venv := filepath.Join(dir, "venv")
	return [][]string{{filepath.Join(venv, "bin", "python"), "-I", "-S", "-c", compile, filepath.Join(venv, "lib")}}
}

// Env is what the commands have in their environment besides: configured settings win.
func (p *Parcel) Env() map[string]string {
	switch p.kind {
	case bun, pipx:
		return map[string]string{}
	case npm:
		// Waits between attempts are for a server that is being restarted; somebody waits here (npm has 10 s and 60 s).
		return map[string]string{"npm_config_fetch_retry_mintimeout": "1000", "npm_config_fetch_retry_maxtimeout": "10000"}
	}
	return map[string]string{"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"} // a Python of the system, not one of a server of releases
}

// Ask is a command that says where the client fetches from, for Hosts; nil when none does.
func (p *Parcel) Ask() []string {
	if p.kind == npm {
		return append(slices.Clone(p.tool), "config", "list", "--json")
	}
	return nil
}

// Hosts are those that the client's settings name as places of packages: said is what Ask printed, lookup gives the
// environment. None means that the settings name no place, and the client has one of its own.
func (p *Parcel) Hosts(said []byte, lookup func(string) string) ([]string, error) {
	var places []string
	if p.kind == npm {
		var settings map[string]any
		if err := json.Unmarshal(said, &settings); err != nil {
			return nil, fmt.Errorf("read npm's settings: %w", err)
		}
		for key, value := range settings {
			if text, ok := value.(string); ok && (key == "registry" || strings.HasSuffix(key, ":registry")) {
				places = append(places, text)
			}
		}
	} else {
		places = map[kind]func(func(string) string) []string{bun: bunPlaces, uv: uvPlaces, pipx: pipPlaces}[p.kind](lookup)
	}
	var hosts []string
	for _, place := range places {
		u, err := url.Parse(place)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("read the settings of %s: an address of a place of packages is no URL: mend it there, or set sandbox.fetch.hosts", p.kind)
		}
		hosts = append(hosts, u.Hostname())
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// uvPlaces are the indexes of uv's settings if the first of them is among these: without, uv has one of its own.
func uvPlaces(lookup func(string) string) []string {
	var places []string
	first := false
	for _, name := range []string{"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"} {
		for entry := range strings.FieldsSeq(lookup(name)) {
			if at := strings.Index(entry, "=http"); at > 0 {
				entry = entry[at+1:] // NAME=URL
			}
			places = append(places, entry)
			first = first || name == "UV_DEFAULT_INDEX" || name == "UV_INDEX_URL"
		}
	}
	address := regexp.MustCompile(`^\s*(url|index-url|extra-index-url|find-links)\s*=.*?"(https?://[^"]+)"`)
	standard := regexp.MustCompile(`^\s*(index-url\s*=|default\s*=\s*true)`)
	for _, file := range uvSettings(lookup) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // most have none
		}
		for line := range strings.Lines(string(text)) {
			first = first || standard.MatchString(line)
			if match := address.FindStringSubmatch(line); match != nil {
				places = append(places, match[2])
			}
		}
	}
	if !first {
		return nil
	}
	return places
}

func uvSettings(lookup func(string) string) []string {
	files := []string{"/etc/uv/uv.toml"}
	if file := lookup("UV_CONFIG_FILE"); filepath.IsAbs(file) {
		files = append(files, file)
	}
	if dir := lookup("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return append(files, filepath.Join(dir, "uv", "uv.toml"))
	}
	return append(files, filepath.Join(lookup("HOME"), ".config", "uv", "uv.toml"))
}

// Settings are the files of the user that the client reads: its settings, with what it needs to log in at a registry.
func (p *Parcel) Settings(lookup func(string) string) []string {
	home := lookup("HOME")
	files := []string{filepath.Join(home, ".npmrc"), lookup("npm_config_userconfig"), lookup("NPM_CONFIG_USERCONFIG")}
	switch p.kind {
	case bun:
		files = bunSettings(lookup)
	case uv:
		files = append(uvSettings(lookup), filepath.Join(home, ".netrc"))
	case pipx:
		files = append(pipSettings(lookup), filepath.Join(home, ".netrc"))
	}
	return slices.DeleteFunc(files, func(file string) bool {
		_, err := os.Stat(file)
		return !filepath.IsAbs(file) || err != nil
	})
}

// Caches are the directories that the client keeps what it fetched in, for all that use it.
func (p *Parcel) Caches(lookup func(string) string) []string {
	switch p.kind {
	case bun:
		return bunCaches(lookup)
	case pipx:
		return pipCaches(lookup)
	}
	names, below := []string{"npm_config_cache", "NPM_CONFIG_CACHE"}, ".npm"
	if p.kind == uv {
		names, below = []string{"UV_CACHE_DIR"}, ".cache/uv"
	}
	for _, name := range names {
		if dir := lookup(name); filepath.IsAbs(dir) {
			return []string{dir}
		}
	}
	if dir := lookup("XDG_CACHE_HOME"); p.kind == uv && filepath.IsAbs(dir) {
		return []string{filepath.Join(dir, "uv")}
	}
	if home := lookup("HOME"); filepath.IsAbs(home) {
		return []string{filepath.Join(home, below)}
	}
	return nil
}

// IsSetting reports whether a variable is a setting of a client, which what is fetched with it has to have too.
func IsSetting(name string) bool {
	for _, prefix := range []string{"npm_config_", "NPM_CONFIG_", "BUN_CONFIG_", "BUN_INSTALL", "UV_", "PIP_", "PIPX_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
