package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var writeGenerated = flag.Bool("write", false, "write what is generated instead of comparing with it")

// TestGeneratedFilesAreFresh holds docs/cli.md against the commands, and the
// schema in the binary against that of the documentation. go generate writes both.
func TestGeneratedFilesAreFresh(t *testing.T) {
	schema, err := os.ReadFile("../../docs/dragoman.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]byte{"../../docs/cli.md": manual(newRoot()), "dragoman.schema.json": schema} {
		if *writeGenerated {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale; run make generate (-want +got):\n%s", file, diff)
		}
	}
}

// manual writes all commands as one page.
func manual(root *cobra.Command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The command line\n\n<!-- Made by go generate in cmd/dragoman from the commands themselves; do not edit. -->\n\n%s\n", root.Long)
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "\n**%s**\n\n", strings.TrimSuffix(g.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && c.Name() != "help" && c.Name() != "completion" {
				fmt.Fprintf(&b, "- [dragoman %s](#dragoman-%s): %s\n", c.Name(), c.Name(), lower(c.Short))
			}
		}
	}
	fmt.Fprintf(&b, "- `dragoman completion bash|zsh|fish|powershell`: print a script for the shell; `--help` says how to load it\n")
	for _, g := range root.Groups() {
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && c.Name() != "help" && c.Name() != "completion" {
				command(&b, c)
			}
		}
	}
	for _, c := range root.Commands() {
		if c.IsAdditionalHelpTopicCommand() {
			fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", c.Short, c.Long)
		}
	}
	return b.Bytes()
}

func command(b *bytes.Buffer, c *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n", c.CommandPath())
	if c.Long != "" {
		fmt.Fprintf(b, "%s\n\n", c.Long)
	} else {
		fmt.Fprintf(b, "%s.\n\n", c.Short)
	}
	fmt.Fprintf(b, "```\n%s\n```\n", useLine(c))
	if len(c.Aliases) > 0 {
		fmt.Fprintf(b, "\nAlso called `%s`.\n", strings.Join(c.Aliases, "`, `"))
	}
	if c.HasExample() {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
	c.InitDefaultHelpFlag()
	if flags := c.LocalFlags().FlagUsagesWrapped(100); c.LocalFlags().HasAvailableFlags() {
		fmt.Fprintf(b, "\n```\n%s```\n", flags)
	}
	for _, below := range c.Commands() {
		command(b, below)
	}
}

func lower(text string) string { return strings.ToLower(text[:1]) + text[1:] }

// TestHelpFitsATerminal keeps every screen of help within 80 columns. Words that
// are to be copied may not be broken, so that no line is wrapped.
func TestHelpFitsATerminal(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&out)
		if err := c.Help(); err != nil {
			t.Errorf("%s: %v", c.CommandPath(), err)
		}
		for line := range strings.Lines(out.String()) {
			if n := cells(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s --help has a line of %d cells: %s", c.CommandPath(), n, line)
			}
		}
		for _, below := range c.Commands() {
			visit(below)
		}
	}
	visit(newRoot())
}
