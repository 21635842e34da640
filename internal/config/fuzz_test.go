package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// FuzzParse looks for texts on which Parse panics, does not end, gives an error that is not Faults, shows a secret, or
// accepts what does not pass its own check.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.bad.yaml", "testdata/*.bad.json", "testdata/*.good.yaml", "testdata/*.good.json", "testdata/*.good.jsonc"} {
		for _, file := range mustGlob(f, pattern) {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	env := func(name string) (string, bool) {
		return map[string]string{"HOME": "/home/ada", "SECRET": "hunter2-hunter2-hunter2"}[name], name == "HOME" || name == "SECRET"
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.Parse("-", data, env)
		if err != nil {
			var faults strict.Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("got %T: %v", err, err)
			}
			if cfg != nil {
				t.Fatal("got a configuration beside the faults")
			}
			if strings.Contains(err.Error(), "hunter2-hunter2") && !strings.Contains(string(data), "hunter2") {
				t.Fatalf("the faults show a secret: %v", err)
			}
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Fatalf("accepted, but its own check says %v", err)
		}
		for _, s := range cfg.Servers {
			if len(s.Argv()) == 0 && len(s.Replicas()) == 0 && s.Builtin == "" {
				t.Fatalf("server %q is nothing", s.Name)
			}
		}
	})
}

func mustGlob(f *testing.F, pattern string) []string {
	f.Helper()
	files := glob(f, strings.TrimPrefix(pattern, "testdata/"))
	if len(files) == 0 {
		f.Fatalf("no seeds in %s", pattern)
	}
	return files
}
