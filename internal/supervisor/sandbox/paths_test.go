package sandbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

func TestDefaultsOpenWhatProgramsNeedAndNoHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home", "ann")
	bin := filepath.Join(home, "bin")
	package1 := filepath.Join(home, "app", "node_modules", ".bin")
	for _, dir := range []string{bin, package1, filepath.Join(home, "app", "node_modules", "s", "dist")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../s/dist/index.js", filepath.Join(package1, "s")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "app/node_modules/s/dist/index.js"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": home, "PATH": bin + ":/usr/local/bin:relative:" + home, "XDG_CACHE_HOME": home, "UV_CACHE_DIR": "/data/uv"}
	read, write := sandbox.Defaults(filepath.Join(package1, "s"), "/srv/work", func(name string) string { return env[name] })
	for _, want := range []string{"/usr", bin, filepath.Join(home, "app", "node_modules"), "/srv/work", filepath.Join(home, ".nvm")} {
		if !slices.Contains(read, want) {
			t.Errorf("%s may not be read, want it to", want)
		}
	}
	for _, want := range []string{filepath.Join(home, ".npm"), "/data/uv", "/tmp"} {
		if !slices.Contains(write, want) {
			t.Errorf("%s may not be written, want it to", want)
		}
	}
	for _, closed := range []string{home, filepath.Dir(home), "/", filepath.Join(home, ".local"), "/home", "/root"} {
		if slices.Contains(read, closed) || slices.Contains(write, closed) {
			t.Errorf("%s is open as a whole", closed)
		}
	}
	_, write = sandbox.Defaults("/usr/bin/x", home, func(name string) string { return map[string]string{"HOME": "/"}[name] })
	if slices.Contains(write, "/.npm") {
		t.Errorf("a home of / opens %v", write)
	}
}

func TestPrepareMakesTheCachesOfALauncherOnly(t *testing.T) {
	home := t.TempDir()
	lookup := func(name string) string { return map[string]string{"HOME": home}[name] }
	sandbox.Prepare("/usr/bin/python3", lookup)
	if left, _ := os.ReadDir(home); len(left) > 0 {
		t.Errorf("python3 made %v", left)
	}
	sandbox.Prepare("npx", lookup)
	if left, _ := os.ReadDir(home); len(left) != 1 || left[0].Name() != ".npm" {
		t.Errorf("npx made %v, want .npm", left)
	}
}
