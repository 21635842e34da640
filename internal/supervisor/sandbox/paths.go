package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// systemPaths are what programs need to start and to find their libraries,
// certificates, time zones and names. They hold no user's data.
func systemPaths() []string {
	return []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/opt", "/etc", "/nix", "/snap", "/proc", "/sys",
		"/run/systemd/resolve", "/run/resolvconf", "/run/current-system", "/var/lib/ca-certificates", "/home/linuxbrew"}
}

// toolchains are where version managers and package managers keep programs below
// a home directory.
func toolchains() []string {
	return []string{".nvm", ".volta", ".fnm", ".asdf", ".pyenv", ".rye", ".deno", ".bun", ".rustup/toolchains", ".cargo/bin", ".npm-global",
		".local/bin", ".local/lib", ".local/share/uv", ".local/share/mise", ".local/share/fnm", ".local/share/pnpm", ".local/share/pipx",
		".local/pipx", ".local/state/fnm_multishells", "go/bin"}
}

// caches are where npx, uvx and their like put what they fetched, below a home
// directory.
func caches() []string {
	return []string{".npm", ".cache", ".local/share/uv", ".bun/install", ".deno", ".yarn", ".pnpm-store", ".local/share/pnpm"}
}

// cacheVariables move caches elsewhere.
func cacheVariables() []string {
	return []string{"XDG_CACHE_HOME", "npm_config_cache", "NPM_CONFIG_CACHE", "UV_CACHE_DIR", "UV_TOOL_DIR", "UV_PYTHON_INSTALL_DIR",
		"DENO_DIR", "BUN_INSTALL", "PNPM_HOME", "TMPDIR", "TMP", "TEMP"}
}

// Defaults are the paths that a program may use without being named: the system's,
// its own and its interpreter's, those of version managers, and, to write, caches
// and directories for temporary files. lookup gives the child's environment.
func Defaults(program, dir string, lookup func(string) string) (read, write []string) {
	home := lookup("HOME")
	read = append(systemPaths(), Installation(program, home)...)
	if dir != "" && !broad(dir, home) {
		read = append(read, dir)
	}
	for entry := range strings.SplitSeq(lookup("PATH"), string(filepath.ListSeparator)) {
		if filepath.IsAbs(entry) {
			read = append(read, Installation(filepath.Join(entry, "x"), home)...)
		}
	}
	write = Temporary(lookup)
	for _, name := range cacheVariables() {
		if path := lookup(name); filepath.IsAbs(path) && !broad(path, home) {
			write = append(write, path)
		}
	}
	if filepath.IsAbs(home) && home != "/" {
		for _, name := range toolchains() {
			read = append(read, filepath.Join(home, name))
		}
		for _, name := range caches() {
			write = append(write, filepath.Join(home, name))
		}
	}
	return compact(read), compact(write)
}

// Temporary are directories for files that do not last: what is left of the paths to write to without any cache.
func Temporary(lookup func(string) string) []string {
	dirs := []string{"/tmp", "/dev/shm"}
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		if path := lookup(name); filepath.IsAbs(path) && !broad(path, lookup("HOME")) {
			dirs = append(dirs, path)
		}
	}
	return compact(dirs)
}

// Installation are the directories of a program: its own and that of the file behind
// symbolic links; with bin, the installation around it; in node_modules, all of those.
func Installation(program, home string) []string {
	var dirs []string
	files := []string{program}
	if real, err := filepath.EvalSymlinks(program); err == nil {
		files = append(files, real)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		if at := strings.Index(file, "/node_modules/"); at > 0 {
			dir = file[:at+len("/node_modules")]
		} else if around := filepath.Dir(dir); filepath.Base(dir) == "bin" && !broad(around, home) && filepath.Base(around) != ".local" {
			dir = around
		}
		if !broad(dir, home) {
			dirs = append(dirs, dir)
		} else {
			dirs = append(dirs, file)
		}
	}
	return dirs
}

// broad reports whether a directory is the root, a home directory, or above one:
// opening it would open everything.
func broad(dir, home string) bool {
	dir = filepath.Clean(dir)
	return dir == "/" || dir == "/home" || dir == "/Users" || dir == "/root" || dir == "/var" || dir == "/tmp" ||
		home != "" && (dir == filepath.Clean(home) || strings.HasPrefix(filepath.Clean(home)+"/", dir+"/"))
}

// launchers are the programs that fetch servers, and where below a home directory
// they keep them.
func launchers(program string) []string {
	return map[string][]string{
		"npx": {".npm"}, "npm": {".npm"}, "uvx": {".cache", ".local/share/uv"}, "uv": {".cache", ".local/share/uv"}, "pipx": {".cache"},
		"bunx": {".bun/install"}, "bun": {".bun/install"}, "deno": {".cache"}, "pnpm": {".cache", ".local/share/pnpm"}, "yarn": {".cache", ".yarn"},
	}[filepath.Base(program)]
}

// Prepare makes the caches that a program will use and that are missing: a rule can
// only name what exists, and without one the first start would fail.
func Prepare(program string, lookup func(string) string) {
	wanted := launchers(program)
	if len(wanted) == 0 {
		return
	}
	var dirs []string
	if home := lookup("HOME"); filepath.IsAbs(home) && home != "/" {
		for _, name := range wanted {
			dirs = append(dirs, filepath.Join(home, name))
		}
	}
	for _, name := range cacheVariables() {
		if dir := lookup(name); filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		_ = os.MkdirAll(dir, 0o700) // if not, the child cannot write there either
	}
}

func compact(paths []string) []string {
	for i, p := range paths {
		paths[i] = filepath.Clean(p)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
