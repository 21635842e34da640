package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// resolve finds the program of a command as an absolute path, in the PATH of the child's environment and not of the
// gateway's. Empty and relative entries of PATH are skipped: what is run must not depend on the directory. It also
// checks dir, since the kernel reports a missing directory and a missing program with the same words.
func resolve(command, dir string, env []string) (string, error) {
	if dir != "" {
		info, err := os.Stat(dir)
		if err != nil {
			return "", fmt.Errorf("open directory: %w", err)
		}
		if !info.IsDir() {
			return "", fmt.Errorf("open directory %s: it is a file", dir)
		}
	}
	if runtime.GOOS == "windows" {
		return resolveWindows(command)
	}
	if strings.ContainsRune(command, '/') {
		path := command
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		abs, err := filepath.Abs(path)
		if err != nil || !executable(abs) {
			return "", &NotFoundError{Command: command, Dir: dir}
		}
		return abs, nil
	}
	path := lookup(env, "PATH")
	for _, entry := range filepath.SplitList(path) {
		file := filepath.Join(entry, command)
		if filepath.IsAbs(entry) && executable(file) {
			return file, nil
		}
	}
	return "", &NotFoundError{Command: command, Path: path}
}

// resolveWindows leaves the search to the standard library, which knows PATHEXT. It uses the gateway's PATH.
func resolveWindows(command string) (string, error) {
	path, err := exec.LookPath(command)
	if err != nil {
		return "", &NotFoundError{Command: command, Path: "the gateway's"}
	}
	return filepath.Abs(path)
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
