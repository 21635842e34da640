package main

import (
	"os"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

func TestGreetingSaysHowCallersShowWhoTheyAre(t *testing.T) {
	const servers = "servers: {time: {builtin: time}}\n"
	for _, test := range []struct{ name, auth, want string }{
		{"nobody has to", "", ""},
		{"with a token", "auth: {tokens: [{name: me, token: 5f0e2d7c9b1a48366d2c71e09fb3a548}]}\n", "Callers need a token: set DRAGOMAN_TOKEN"},
		{"with a key", "auth: {keys: {enabled: true}}\n", "Callers need a key: dragoman token create"},
		{"with a password", "auth: {passwords: {enabled: true}}\n", "Callers have to show who they are: docs/access.md"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := config.Parse("x.yaml", []byte(test.auth+servers), os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			greet(&out, "127.0.0.1:8000", "x.yaml", cfg)
			if got := out.String(); !strings.Contains(got, test.want) || test.want == "" && strings.Contains(got, "Callers") {
				t.Errorf("%s: got\n%s\nwant %q in it", test.auth, got, test.want)
			}
		})
	}
}

func TestGreetingNamesTheProgramAsItCanBeCalled(t *testing.T) {
	cfg, err := config.Parse(builtinName, []byte(builtinConfig), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	var out strings.Builder
	greet(&out, "127.0.0.1:8000", builtinName, cfg)
	if got, want := out.String(), "  "+commandLine(os.Args[:1])+" import --all"; !strings.Contains(got, want) {
		t.Errorf("with no dragoman in PATH: got\n%s\nwant %q in it", got, want)
	}
}
