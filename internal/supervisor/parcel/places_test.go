package parcel_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHostsOfBunAndPipAreThoseOfTheirSettings(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		set, files map[string]string
		want       []string
	}{
		{"bun without settings", "bunx x", nil, nil, nil},
		{"bun with npm's variable", "bunx x", map[string]string{"npm_config_registry": "http://one.example:1/"}, nil, []string{"one.example"}},
		{"bun with a scope's registry, which is not the first", "bunx x", nil, map[string]string{".npmrc": "@a:registry=https://a.example/\n"}, nil},
		{"bun with npm's settings", "bunx x", nil, map[string]string{".npmrc": "registry = https://own.example/x/\n@a:registry=https://a.example/\n#registry=https://old.example\n"},
			[]string{"a.example", "own.example"}},
		{"bun with settings of its own", "bunx x", nil, map[string]string{".bunfig.toml": "[install]\nregistry = { url = \"https://own.example\", token = \"x\" }\n" +
			"# registry = \"https://old.example\"\n[install.scopes]\na = \"https://a.example/\"\n"}, []string{"a.example", "own.example"}},
		{"pip without settings", "pipx run x", nil, nil, nil},
		{"pip with one more index, which is not the first", "pipx run x", map[string]string{"PIP_EXTRA_INDEX_URL": "https://more.example/simple"}, nil, nil},
		{"pip with an index of its own", "pipx run x", map[string]string{"PIP_INDEX_URL": "https://u:p@first.example/simple", "PIP_FIND_LINKS": "/opt/wheels https://links.example/"}, nil,
			[]string{"first.example", "links.example"}},
		{"pip with a file of settings", "pipx run x", nil, map[string]string{".config/pip/pip.conf": "[global]\nindex-url = https://own.example/simple\n" +
			"extra-index-url =\n    https://b.example/simple\n    https://c.example/simple\ntrusted-host = d.example\n# index-url = https://old.example\n"},
			[]string{"b.example", "c.example", "own.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := t.TempDir()
			for name, text := range tt.files {
				write(t, filepath.Join(home, name), text)
			}
			lookup := func(name string) string {
				if name == "HOME" {
					return home
				}
				return tt.set[name]
			}
			got, err := parse(t, tt.line).Hosts(nil, lookup)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("hosts of %q with %v and %v: %v, -want +got:\n%s", tt.line, tt.set, tt.files, err, diff)
			}
		})
	}
}
