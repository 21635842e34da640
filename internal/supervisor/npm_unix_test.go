//go:build unix

package supervisor_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// fakeNpm does what npm does with two of its commands, in the way that npm_config_mode says, and writes a line into the
// file npm_config_count for each installation.
func fakeNpm(args []string) int {
	if args[0] == "config" {
		fmt.Println(`{"registry":"https://registry.example/"}`)
		return 0
	}
	dir, spec := "", args[len(args)-1]
	for i, arg := range args {
		if arg == "--prefix" {
			dir = args[i+1]
		}
	}
	count, err := os.OpenFile(os.Getenv("npm_config_count"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(count, spec)
	}
	mode, on, _ := strings.Cut(os.Getenv("npm_config_mode"), "=")
	switch mode {
	case "fail":
		fmt.Fprintln(os.Stderr, "npm error E404 there is no such package")
		return 1
	case "hang":
		return stubborn()
	case "huge", "large": // the second ends at once
		for _, name := range []string{"a", "b", "c"} { // none alone is too large
			_ = os.WriteFile(filepath.Join(dir, name), make([]byte, 700<<10), 0o600)
		}
		if mode == "huge" {
			return stubborn()
		}
	case "download": // over the proxy, for as long as there is something
		if c, err := net.Dial("tcp", sandbox.ProxyAddress); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
		fmt.Fprintln(os.Stderr, "npm error network is gone")
		return 1
	case "chatty":
		_, _ = os.Stdout.WriteString(strings.Repeat("much to say\n", 1<<20))
	case "gate": // installs when the file is there
		for tick := time.Tick(5 * time.Millisecond); ; <-tick {
			if _, err := os.Stat(on); err == nil {
				break
			}
		}
	}
	name, _, _ := strings.Cut(spec, "@")
	index := []byte("1")
	if mode == "content" { // has what is in the file
		index, _ = os.ReadFile(on)
	}
	pack := filepath.Join(dir, "node_modules", name)
	files := map[string]string{
		filepath.Join(pack, "package.json"):                          `{"version":"1.2.3","bin":"x"}`,
		filepath.Join(dir, "node_modules/.bin", name):                "#!/bin/sh\necho \"$0 $@\"\nexec cat\n",
		filepath.Join(dir, "node_modules/.package-lock.json"):        `{"packages":{"node_modules/native":{"hasInstallScript":true}}}`,
		filepath.Join(pack, "index.js"):                              "version " + string(index) + " in " + dir,
		filepath.Join(dir, "environment"):                            strings.Join(os.Environ(), "\n"),
		filepath.Join(os.Getenv("npm_config_cache"), "from-a-fetch"): "x",
	}
	for file, text := range files {
		if err == nil {
			err = os.MkdirAll(filepath.Dir(file), 0o700)
		}
		if err == nil {
			err = os.WriteFile(file, []byte(text), 0o700)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// away is a directory outside of /tmp, which children may write to.
func away(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// kitchen is what fetches are tested with: a directory with npx and npm, one for packages and a count of installations.
type kitchen struct {
	bin, packages, cache, count string
}

func newKitchen(t *testing.T) *kitchen {
	t.Helper()
	k := &kitchen{bin: t.TempDir(), packages: away(t), cache: away(t), count: filepath.Join(t.TempDir(), "count")}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"npm", "npx"} {
		script := fmt.Sprintf("#!/bin/sh\nexec %s role:%s \"$@\"\n", self, name)
		if err := os.WriteFile(filepath.Join(k.bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// env are settings for a server whose packages are fetched in a way.
func (k *kitchen) env(mode string) map[string]string {
	return map[string]string{"npm_config_mode": mode, "npm_config_count": k.count, "npm_config_cache": k.cache, "SECRET": "of the server"}
}

// installations are the packages that were installed, in their order.
func (k *kitchen) installations() []string {
	text, _ := os.ReadFile(k.count)
	return strings.Fields(string(text))
}
