//go:build unix

package supervisor_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/google/go-cmp/cmp"
)

func TestAChildGetsTheListedVariablesAndItsOwn(t *testing.T) {
	parent := []string{
		"PATH=/usr/bin", "HOME=/home/x", "LC_TIME=nl_NL", "npm_config_cache=/c", "UV_CACHE_DIR=/u",
		"http_proxy=http://proxy:3128", "no_proxy=localhost", "DOCKER_HOST=ssh://me@host",
		// not theirs to see
		"GITHUB_TOKEN=t", "AWS_SECRET_ACCESS_KEY=s", "DATABASE_URL=postgres://u:p@h/d", "SSH_AUTH_SOCK=/s",
		"npm_config__authToken=t", "UV_PUBLISH_TOKEN=t",
		// code by environment
		"LD_PRELOAD=/x.so", "NODE_OPTIONS=--require x", "PYTHONSTARTUP=x", "BASH_ENV=x", "GIT_SSH_COMMAND=x",
		// addresses with a user
		"HTTPS_PROXY=http://u:p@proxy:3128", "ALL_PROXY=u:p@proxy:1080", "UV_INDEX_URL=https://token@index/simple",
		"=C:=C:\\", "broken",
	}
	got := supervisor.Environ(parent, map[string]string{"GITHUB_TOKEN": "given", "HOME": "/srv", "EMPTY": ""})
	want := []string{
		"DOCKER_HOST=ssh://me@host", "EMPTY=", "GITHUB_TOKEN=given", "HOME=/srv", "LC_TIME=nl_NL", "PATH=/usr/bin",
		"UV_CACHE_DIR=/u", "http_proxy=http://proxy:3128", "no_proxy=localhost", "npm_config_cache=/c",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestNothingElseReachesARealChild(t *testing.T) {
	t.Setenv("SECRET_TOKEN_OF_THE_GATEWAY", "s3cret")
	for name, opts := range kinds {
		t.Run("with "+name, func(t *testing.T) {
			opts.Environ = append(os.Environ(), "SECRET_TOKEN_OF_THE_GATEWAY=s3cret", "LANG=C.UTF-8")
			dir := t.TempDir()
			p := acquire(t, add(t, newSupervisor(t, opts), supervisor.Spec{Command: program("env"), Dir: dir,
				Env: map[string]string{"API_KEY": "given"}}))
			got, err := io.ReadAll(p.Stdout())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(got), "s3cret") {
				t.Errorf("the child sees the gateway's token:\n%s", got)
			}
			for _, want := range []string{"API_KEY=given\n", "LANG=C.UTF-8\n", "PATH=", "PWD=" + dir + "\n"} {
				if !strings.Contains(string(got), want) {
					t.Errorf("environment does not contain %q:\n%s", want, got)
				}
			}
		})
	}
}

func TestWhichProgramACommandIs(t *testing.T) {
	dir := t.TempDir()
	program := func(path string, mode os.FileMode) string {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	program("a/tool", 0o644)
	b, c := program("b/tool", 0o755), program("c/tool", 0o755)
	path := strings.Join([]string{"", ".", "relative", filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")}, ":")
	for _, test := range []struct{ name, command, dir, path, want string }{
		{"the first executable in PATH", "tool", "", path, b},
		{"an absolute path", c, "", path, c},
		{"a relative path is relative to dir", "./c/tool", dir, path, c},
		{"a name is not looked for in dir", "tool", filepath.Join(dir, "c"), ":.", ""},
		{"a directory is no program", "c", "", dir, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(filepath.Join(dir, "c")) // where a relative PATH would find it
			got, err := supervisor.Resolve(test.command, test.dir, []string{"PATH=" + test.path})
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("resolve %q: got %q, %v; want %q", test.command, got, err, test.want)
			}
		})
	}
}
