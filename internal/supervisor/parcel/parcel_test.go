package parcel_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCommandLinesAreReadAsTheirLaunchersDo(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		specs      string
		program    string
		args       string
		moving     bool
	}{
		{"a package and its arguments", "npx -y some-server --root /data", "some-server", "", "--root /data", false},
		{"a scope, a version", "/opt/node/bin/npx --yes @scope/some-server@1.2.3 x", "@scope/some-server@1.2.3", "", "x", false},
		{"a range", "npx some-server@^1.2", "some-server@^1.2", "", "", false},
		{"a tag", "npx -y some-server@latest", "some-server@latest", "", "", true},
		{"a package that is named apart", "npx -y --package=some-server -p other@2 tool -y", "some-server other@2", "tool", "-y", false},
		{"options behind the package", "npx some-server -y -- -z", "some-server", "", "-y -- -z", false},
		{"npm exec", "npm exec --yes -- some-server --root x", "some-server", "", "--root x", false},
		{"npm exec with options behind", "npm exec some-server a -- --root x", "some-server", "", "a --root x", false},
		{"uvx", "uvx some-server --zone x", "some-server", "some-server", "--zone x", false},
		{"uvx with a version", "uvx some-server@1.2.3", "some-server==1.2.3", "some-server", "", false},
		{"uvx with what is newest", "uvx some-server@latest x", "some-server", "some-server", "x", true},
		{"uvx of another package", "/x/uvx --from some-server[all]>=1.2 --with a,b --python 3.12 tool --from y", "some-server[all]>=1.2 a b", "tool", "--from y", false},
		{"uv tool run", "uv tool run -q some-server", "some-server", "some-server", "", false},
		{"bunx", "bunx @scope/some-server@1.2 --bun x", "@scope/some-server@1.2", "", "--bun x", false},
		{"bun x", "/x/bun x --bun --silent some-server@latest", "some-server@latest", "", "", true},
		{"bunx of another package", "bunx --package=some-server tool -p x", "some-server", "tool", "-p x", false},
		{"pipx run", "pipx run some-server==1.2 --spec x", "some-server==1.2", "some-server", "--spec x", false},
		{"pipx run of a name as its index knows it", "pipx run -q Some_Server", "Some_Server", "some-server", "", false},
		{"pipx run of another package", "/x/pipx run --spec some-server[all]>=1.2 --with=a --with b --python 3.12 tool", "some-server[all]>=1.2 a b", "tool", "", false},
		{"pipx run of what is newest", "pipx run --no-cache some-server", "some-server", "some-server", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parcel.Parse(strings.Fields(tt.line))
			if err != nil || p == nil {
				t.Fatalf("parse %q: got %v, %v, want a parcel", tt.line, p, err)
			}
			got := []any{strings.Join(p.Specs, " "), p.Program, strings.Join(p.Args, " "), p.Moving}
			if diff := cmp.Diff([]any{tt.specs, tt.program, tt.args, tt.moving}, got); diff != "" {
				t.Errorf("parse %q: -want +got:\n%s", tt.line, diff)
			}
		})
	}
}

func TestWhatCannotBeFetchedBeforehandIsLeftAlone(t *testing.T) {
	for _, line := range []string{"node server.js", "npm start", "uv run server.py", "uv", "npm", "docker run npx", "bun server.ts", "bun run x", "bun", "pipx", "pipx install x", ""} {
		if p, err := parcel.Parse(strings.Fields(line)); p != nil || err != nil {
			t.Errorf("parse %q: got %v, %v, want nothing: it is no launcher's", line, p, err)
		}
	}
	for _, line := range []string{"npx", "npx -y", "npx -c ls", "npx --registry=x some-server", "npx ./here", "npx file:here", "npx github:some/server",
		"npx some/server", "npx git+ssh://x/y", "npx https://x/y.tgz", "npx some-server@npm:other@1", "npx some-server@file:x", "npx -p", "npm exec some-server --root x",
		"uvx", "uvx --from git+https://x/y some-server", "uvx ./here", "uvx https://x/y.whl", "uvx --from", "uvx --index x some-server", "uvx --with-editable . x",
		"bunx", "bunx --registry=x some-server", "bunx ./here", "bunx github:some/server", "bunx tsc", "bunx -p a -p b c", "bun x", "bunx -p",
		"pipx run", "pipx run --index-url=x y", "pipx run ./here.py", "pipx run https://x/y.py", "pipx run some-server@1.2", "pipx run --spec git+https://x/y z",
		"npx @../../x", "npx ../x", "npx -p some-server@../x y"} {
		if p, err := parcel.Parse(strings.Fields(line)); !errors.Is(err, parcel.ErrOther) {
			t.Errorf("parse %q: got %v, %v, want an error that says why", line, p, err)
		}
	}
}

func parse(t *testing.T, line string) *parcel.Parcel {
	t.Helper()
	p, err := parcel.Parse(strings.Fields(line))
	if err != nil || p == nil {
		t.Fatalf("parse %q: %v", line, err)
	}
	return p
}

func TestNothingOfAPackageIsRunWhileItIsFetchedUnlessThatIsAskedFor(t *testing.T) {
	for _, tt := range []struct {
		line string
		want string
	}{{"npx x", "--ignore-scripts=true"}, {"uvx x", "--no-build"}, {"bunx x", "--ignore-scripts"}, {"pipx run x", "--only-binary=:all:"}} {
		p := parse(t, tt.line)
		all := func(scripts bool) (words []string) {
			for _, step := range p.Steps("/d", scripts, func(string) string { return "" }) {
				words = append(words, step...)
			}
			return words
		}
		if !slices.Contains(all(false), tt.want) || slices.Contains(all(true), tt.want) {
			t.Errorf("%s: got the steps %v, and with scripts %v, want %s in the first only", tt.line, all(false), all(true), tt.want)
		}
	}
}

func TestKeysAreTheSameForWhatIsFetchedTheSameWay(t *testing.T) {
	same := [][2]string{{"npx -y x@1 a", "npx x@1 b"}, {"npx --package=x@1 y", "npx x@1"}, {"uvx x", "uv tool run x 1"}, {"bunx --bun x", "bun x x y"}}
	for _, pair := range same {
		if a, b := parse(t, pair[0]).Key(false, nil), parse(t, pair[1]).Key(false, nil); a != b {
			t.Errorf("keys of %q and %q: got %s and %s, want one", pair[0], pair[1], a, b)
		}
	}
	seen := map[string]string{}
	for _, line := range []string{"npx x", "npx x@1", "npx x@latest", "npx -p x -p y z", "uvx x", "uvx x@latest", "uvx -p 3.12 x", "npx @scope/x", "bunx x", "bunx x@1", "pipx run x", "pipx run --no-cache x"} {
		for _, scripts := range []bool{false, true} {
			key := parse(t, line).Key(scripts, nil)
			if before, ok := seen[key]; ok || key != filepath.Base(key) || strings.HasPrefix(key, ".") {
				t.Errorf("key of %q with scripts %v: got %q, which is also that of %q, or no name of a directory", line, scripts, key, before)
			}
			seen[key] = line
		}
	}
}

func TestKeysDifferWithThePlaceThatAServerNames(t *testing.T) {
	seen := map[string]map[string]string{}
	for _, env := range []map[string]string{nil, {"npm_config_registry": "https://a.example"}, {"npm_config_registry": "https://b.example"}, {"npm_config_@a:registry": "https://a.example"},
		{"NPM_CONFIG_USERCONFIG": "/x"}} {
		key := parse(t, "npx x").Key(false, env)
		if before, ok := seen[key]; ok {
			t.Errorf("key with %v: got that of %v", env, before)
		}
		seen[key] = env
	}
	for _, env := range []map[string]string{{"TOKEN": "x"}, {"registry": "x"}, {"npm_config_loglevel": "silly"}, {"PIP_INDEX_URL": "https://a.example"}} {
		if got, want := parse(t, "npx x").Key(false, env), parse(t, "npx x").Key(false, nil); got != want {
			t.Errorf("key with %v: got %s, want %s as without", env, got, want)
		}
	}
}

func TestHostsAreThoseOfTheClientsSettings(t *testing.T) {
	home := t.TempDir()
	write(t, filepath.Join(home, ".config/uv/uv.toml"), "[[index]]\nurl = \"https://own.example:8443/simple\"\ndefault = true\n# url = \"https://old.example\"\n")
	lookup := func(set map[string]string) func(string) string { return func(name string) string { return set[name] } }
	for _, tt := range []struct {
		name, line, said string
		set              map[string]string
		want             []string
	}{
		{"npm's registry and those of scopes", "npx x", `{"registry":"https://one.example/","@a:registry":"http://two.example:4873/x/","fetch-retries":2}`, nil, []string{"one.example", "two.example"}},
		{"uv without settings", "uvx x", "", nil, nil},
		{"uv with one more index, which is not the first", "uvx x", "", map[string]string{"UV_EXTRA_INDEX_URL": "https://more.example/simple"}, nil},
		{"uv with an index of its own", "uvx x", "", map[string]string{"UV_DEFAULT_INDEX": "https://u:p@first.example/simple", "UV_INDEX": "b=https://b.example/s https://c.example/s"},
			[]string{"b.example", "c.example", "first.example"}},
		{"uv with a file of settings", "uvx x", "", map[string]string{"HOME": home}, []string{"own.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(t, tt.line).Hosts([]byte(tt.said), lookup(tt.set))
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("hosts of %q with %v: %v, -want +got:\n%s", tt.line, tt.set, err, diff)
			}
		})
	}
	for _, said := range []string{"", "npm ERR!", `{"registry":"not a place"}`} {
		if got, err := parse(t, "npx x").Hosts([]byte(said), lookup(nil)); err == nil {
			t.Errorf("hosts of settings %q: got %v, want an error", said, got)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestTheProgramOfANodePackageIsTheOneThatNpxTakes(t *testing.T) {
	for _, tt := range []struct{ name, line, bin, want, fault string }{
		{"a path alone", "npx @a/x", `"cli.js"`, "x", ""},
		{"the only one", "npx x", `{"serve":"cli.js"}`, "serve", ""},
		{"two names of one program", "npx x", `{"b":"cli.js","a":"cli.js"}`, "a", ""},
		{"the one of its name", "npx @a/x", `{"y":"1.js","x":"2.js"}`, "x", ""},
		{"one that is asked for", "npx -p x y", `{"y":"1.js","x":"2.js"}`, "y", ""},
		{"several of other names", "npx x", `{"y":"1.js","z":"2.js"}`, "", "y, z"},
		{"none", "npx x", `{}`, "", "no program"},
		{"nothing said", "npx x", `null`, "", "no program"},
		{"one that is asked for and not there", "npx -p x nothing", `{"y":"1.js"}`, "", `no program "nothing"`},
		{"a name that is a path", "npx x", `{"../../../bin/sh":"1.js"}`, "", "is a path"},
		{"nonsense", "npx x", `7`, "", "no known way"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			p := parse(t, tt.line)
			pack := strings.TrimPrefix(p.Specs[0], "")
			write(t, filepath.Join(dir, "node_modules", pack, "package.json"), `{"version":"1.2.3","bin":`+tt.bin+`}`)
			for _, name := range []string{"x", "y", "z", "a", "b", "serve"} {
				write(t, filepath.Join(dir, "node_modules/.bin", name), "#!/bin/sh\n")
			}
			write(t, filepath.Join(dir, "node_modules/.package-lock.json"),
				`{"packages":{"":{"hasInstallScript":true},"node_modules/q/node_modules/@n/native":{"hasInstallScript":true},"node_modules/q":{}}}`)
			found, err := p.Find(dir, false)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("find: got %+v, %v, want an error with %q", found, err, tt.fault)
				}
				return
			}
			want := parcel.Found{Program: filepath.Join(dir, "node_modules/.bin", tt.want), Bin: filepath.Join(dir, "node_modules/.bin"),
				Version: "1.2.3", Unrun: []string{"@n/native"}}
			if diff := cmp.Diff(want, found); err != nil || diff != "" {
				t.Errorf("find: %v, -want +got:\n%s", err, diff)
			}
		})
	}
	if _, err := parse(t, "npx x").Find(t.TempDir(), false); err == nil {
		t.Error("a program was found in an empty directory")
	}
}

func TestTheProgramOfAPythonPackageIsInItsEnvironment(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "venv/bin/some-server"), "#!/bin/sh\n")
	write(t, filepath.Join(dir, "venv/lib/python3.12/site-packages/Some_Server-1.2.dist-info/METADATA"), "")
	found, err := parse(t, "uvx some-server[all]").Find(dir, false)
	if err != nil || found.Program != filepath.Join(dir, "venv/bin/some-server") || found.Version != "1.2" {
		t.Errorf("find: got %+v, %v, want some-server of version 1.2", found, err)
	}
	if _, err := parse(t, "uvx --from some-server other").Find(dir, false); err == nil || !strings.Contains(err.Error(), "some-server") {
		t.Errorf("find a program that is not there: got %v, want an error that names those that are", err)
	}
}

func TestPipxTakesTheOnlyProgramOfAPackageWhenNoneHasItsName(t *testing.T) {
	for points, want := range map[string]string{"[console_scripts]\nserve = x:main\n[x]\na = b\n": "serve", "[console_scripts]\nserve = x:main\nother = x:main\n": "", "": ""} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "venv/bin/serve"), "#!/bin/sh\n")
		write(t, filepath.Join(dir, "venv/lib/python3.12/site-packages/some_server-1.2.dist-info/entry_points.txt"), points)
		found, err := parse(t, "pipx run some-server").Find(dir, false)
		if (err == nil) != (want != "") || err == nil && found.Program != filepath.Join(dir, "venv/bin", want) {
			t.Errorf("find with the scripts %q: got %+v, %v, want %q", points, found, err, want)
		}
		if _, err := parse(t, "uvx some-server").Find(dir, false); err == nil {
			t.Errorf("uvx found a program of another name")
		}
	}
}

func TestBunStandsInForNodeWhereThereIsNoneOrItIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "node_modules/x/package.json"), `{"version":"1.2.3","bin":"x"}`)
	write(t, filepath.Join(dir, "node_modules/@n/native/package.json"), `{"scripts":{"postinstall":"make"}}`)
	write(t, filepath.Join(dir, "node_modules/.bin/x"), "#!/usr/bin/env node\n")
	if _, err := parse(t, "bunx x").Find(dir, false); err == nil || !strings.Contains(err.Error(), "bun") {
		t.Errorf("find without bun: got %v, want an error that says so", err)
	}
	real := filepath.Join(dir, "bun")
	write(t, real, "")
	runtime, bin := filepath.Join(dir, "runtime"), filepath.Join(dir, "node_modules/.bin")
	if err := errors.Join(os.Mkdir(runtime, 0o700), os.Symlink(real, filepath.Join(runtime, "node"))); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{"bunx x": bin + ":/usr/bin:" + runtime, "bunx --bun x": runtime + ":" + bin + ":/usr/bin"} {
		found, err := parse(t, line).Find(dir, false)
		if got := found.Path("/usr/bin"); err != nil || got != want || !slices.Equal(found.Runtimes, []string{real}) || !slices.Equal(found.Unrun, []string{"@n/native"}) {
			t.Errorf("%s: got PATH %q of %+v, %v, want %q", line, got, found, err, want)
		}
	}
}

func TestWhatALauncherWouldTakeFromItsDirectoryIsLocal(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "node_modules/@a/x/package.json"), "{}")
	below := filepath.Join(dir, "some", "where")
	write(t, filepath.Join(dir, "bin/y"), "#!/bin/sh\n")
	lookup := func(name string) string {
		return map[string]string{"PATH": "/nowhere:" + filepath.Join(dir, "bin")}[name]
	}
	for line, want := range map[string]bool{"npx @a/x": true, "npx @a/y": false, "uvx x": false, "bunx @a/x": true, "bunx @a/y": true, "bunx @a/y@1": false,
		"bunx -p @a/z y": true, "bunx z": false} {
		if got := parse(t, line).Local(below, lookup); got != want {
			t.Errorf("%s is local: got %v, want %v", line, got, want)
		}
	}
}
