package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

var update = flag.Bool("update", false, "write the faults that are found into testdata/*.want")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment gives what a test file asks for in lines "# env: NAME=value", and HOME.
func environment(text string) func(string) (string, bool) {
	env := map[string]string{"HOME": "/home/ada"}
	for line := range strings.Lines(text) {
		if _, assignment, ok := strings.Cut(strings.TrimSpace(line), "# env: "); ok {
			name, value, _ := strings.Cut(assignment, "=")
			env[name] = value
		}
	}
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

func glob(t testing.TB, patterns ...string) []string {
	t.Helper()
	var files []string
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join("testdata", p))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// Each way to be wrong has a file FILE.bad.yaml (or .json), and FILE.bad.want with exactly the faults that it must give.
func TestBadFilesGiveExactlyTheExpectedFaults(t *testing.T) {
	files := glob(t, "*.bad.yaml", "*.bad.json")
	if len(files) < 60 {
		t.Fatalf("got %d bad files, want at least 60", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(file, environment(string(data)))
			if err == nil {
				t.Fatalf("got no fault and %+v", cfg)
			}
			if cfg != nil {
				t.Errorf("got a configuration beside the fault")
			}
			var faults strict.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("got %T, want strict.Faults: %v", err, err)
			}
			got := strings.ReplaceAll(err.Error(), filepath.Dir(file)+string(filepath.Separator), "") + "\n"
			want := strings.TrimSuffix(strings.TrimSuffix(file, ".yaml"), ".json") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(expected) {
				t.Errorf("%s\ngot:\n%swant:\n%s", data, got, expected)
			}
			for _, secret := range []string{"hunter2"} {
				if strings.Contains(got, secret) {
					t.Errorf("the faults show the secret %q:\n%s", secret, got)
				}
			}
		})
	}
}

func TestGoodFilesLoad(t *testing.T) {
	for _, file := range glob(t, "*.good.yaml", "*.good.json", "*.good.jsonc") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(file, environment(string(data)))
			if err != nil {
				t.Fatalf("%s\ngot:\n%v", data, err)
			}
			if len(cfg.Servers) == 0 {
				t.Errorf("got no servers from\n%s", data)
			}
			if err := cfg.Validate(); err != nil {
				t.Errorf("checking a second time gives %v", err)
			}
			if text := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg); strings.Contains(text, "hunter2") {
				t.Errorf("printing the configuration shows a secret: %s", text)
			}
		})
	}
}
