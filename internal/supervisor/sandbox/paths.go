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
	read = append(systemPaths(), own(program, home)...)
	if dir != "" && !broad(dir, home) {
		read = append(read, dir)
	}
	for entry := range strings.SplitSeq(lookup("PATH"), string(filepath.ListSeparator)) {
		if filepath.IsAbs(entry) {
			read = append(read, own(filepath.Join(entry, "x"), home)...)
		}
	}
	write = []string{"/tmp", "/dev/shm"}
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

// own are the directories of a program: its own and that of the file behind
// symbolic links; with bin, the installation around it; in node_modules, all of those.
func own(program, home string) []string {
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

// Prepare makes the directories of write that are missing and whose parent is
// there: a rule can only name what exists.
func Prepare(write []string) {
	for _, dir := range write {
		if _, err := os.Lstat(dir); os.IsNotExist(err) {
			_ = os.Mkdir(dir, 0o700) // if not, the child cannot write there either
		}
	}
}

func compact(paths []string) []string {
	for i, p := range paths {
		paths[i] = filepath.Clean(p)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
