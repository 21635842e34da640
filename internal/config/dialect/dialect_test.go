package dialect_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/dragoman-mcp/dragoman/internal/config/dialect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNamesAreMadeToFit(t *testing.T) {
	tests := []struct{ original, want string }{
		{"files", "files"},
		{"my-files_2", "my-files_2"},
		{"GitHub", "github"},
		{"File System", "file-system"},
		{"@scope/server.name", "scope-server-name"},
		{"my__server", "my_server"},
		{"a_-_b", "a_b"},
		{"-edge-", "edge"},
		{"１２３ＡＢＣ", "123abc"},
		{"Büro", "b-ro"},
		{"日本語", "server"},
		{"", "server"},
		{"a-name-of-much-more-than-thirty-two-characters", "a-name-of-much-more-than-thirty"},
	}
	for _, tt := range tests {
		if got := dialect.Name(tt.original, "__"); got != tt.want {
			t.Errorf("Name(%q) = %q, want %q", tt.original, got, tt.want)
		}
	}
	if got := dialect.Name("a-b-c", "-"); got != "abc" {
		t.Errorf("with - as separator got %q", got)
	}
}

func FuzzName(f *testing.F) {
	grammar := regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
	for _, seed := range []string{"files", "__", "-_-", "ǅ", "a\u0301", strings.Repeat("a_", 40), "\xff", "İ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, original string) {
		name := dialect.Name(original, "__")
		if !grammar.MatchString(name) || strings.Contains(name, "__") || strings.HasSuffix(name, "_") {
			t.Fatalf("Name(%q) = %q does not fit", original, name)
		}
		if again := dialect.Name(name, "__"); again != name {
			t.Fatalf("Name(%q) = %q, and again %q", original, name, again)
		}
	})
}

func TestNamesAreAlikeWhenPeopleWouldMixThemUp(t *testing.T) {
	for _, pair := range [][2]string{{"a-b", "a_b"}, {"a.b", "a-b"}, {"A", "a"}, {"ａ", "a"}} {
		if dialect.Fold(pair[0]) != dialect.Fold(pair[1]) {
			t.Errorf("%q and %q are told apart", pair[0], pair[1])
		}
	}
	if dialect.Fold("ab") == dialect.Fold("a-b") {
		t.Error("ab and a-b are not told apart")
	}
}

func TestReferencesOfClients(t *testing.T) {
	known := dialect.Context{Folder: "/work/$x", Home: "/home/ada"}
	tests := []struct {
		name, text, want string
		ctx              dialect.Context
	}{
		{"ours stay", "${A} ${A:-b} ${env:A} ${file:x}", "${A} ${A:-b} ${env:A} ${file:x}", known},
		{"two dollars stay two after loading", "$$ $$A", "$$$$ $$$$A", known},
		{"one dollar is itself", "$A $ 5$", "$A $ 5$", known},
		{"the workspace", "${workspaceFolder}/a ${workspaceFolderBasename}", "/work/$x/a $x", known},
		{"the home directory", "${userHome}/a", "/home/ada/a", known},
		{"an input becomes a variable", "${input:my key}", "${MY_KEY}", known},
		{"what is not known is left", "${command:x}", "${command:x}", known},
		{"a client that expands nothing", "${A} $A $$", "$${A} $A $$$$", dialect.Context{Literal: true}},
		{"a client that writes {env:NAME}", "{env:A} {file:~/x} ${B} {c}", "${env:A} ${file:~/x} $${B} {c}", dialect.Context{Literal: true, Braces: true}},
		{"a client that writes $NAME", "$A ${B} $$C $5", "${A} ${B} $$$$C $5", dialect.Context{BareDollar: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: tt.text}
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "url"}
			entry := dialect.Standard(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, value}}, tt.ctx)
			if got := entry.Node.Content[1].Value; got != tt.want {
				t.Errorf("%q becomes %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestAliasesCannotMakeAShortFileLong(t *testing.T) {
	var text strings.Builder
	text.WriteString("x: [&a0 [b]")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&text, ", &a%d [%s*a%d]", i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	text.WriteString(", &self [*self, *self, *self]]\ncommand: x\nargs: [*a29, *self]\n")
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text.String()), &doc); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	entry := dialect.Standard(doc.Content[0], dialect.Context{})
	if entry.Node == nil || len(entry.Node.Content) != 4 {
		t.Errorf("got %+v", entry.Node)
	}
	if took := time.Since(start); took > time.Minute { // what doubles takes longer than anybody lives
		t.Errorf("took %v", took)
	}
}

func TestVariableNames(t *testing.T) {
	for words, want := range map[string]string{"github-token": "GITHUB_TOKEN", "2fa": "_2FA", "": "_", "A b.c": "A_B_C"} {
		if got := dialect.Variable(words); got != want {
			t.Errorf("Variable(%q) = %q, want %q", words, got, want)
		}
	}
}
