package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	files, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../../../docs", name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("docs/%s is stale; run go generate ./internal/config\n%s", name, diff)
		}
	}
}

func TestAFieldWithoutACommentIsRefused(t *testing.T) {
	found, err := readComments("..")
	if err != nil {
		t.Fatal(err)
	}
	delete(found, "Limits.Depth")
	for name, make := range map[string]func(comments) ([]byte, error){"schema": schemaFile, "manual": manualFile} {
		if _, err := make(found); err == nil || !strings.Contains(err.Error(), "Limits.Depth has no comment") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTheSchemaAgreesWithTheLoader(t *testing.T) {
	schema := resolved(t)
	for _, file := range []string{"readme.good.yaml", "every-key.good.yaml", "own.good.json"} {
		if err := schema.Validate(document(t, file)); err != nil {
			t.Errorf("%s is good, but the schema says: %v", file, err)
		}
	}
	// Faults of form, which an editor can show. Others need the whole picture and are left to the loader.
	for _, name := range []string{"unknown-key-at-top", "unknown-key-in-server", "unknown-key-in-inherited-section", "section-is-text",
		"servers-is-a-list", "server-without-kind", "server-of-two-kinds", "server-name-wrong", "list-is-a-section", "text-is-a-number",
		"number-is-text", "number-too-small", "number-too-large", "truth-is-a-word", "truth-is-quoted", "duration-without-unit",
		"duration-with-unknown-unit", "size-is-words", "enum-misspelled", "protocol-unknown", "isolation-and-start-unknown",
		"token-missing", "urls-entry-wrong", "settings-is-a-list", "fraction-out-of-range", "env-is-a-list"} {
		if err := schema.Validate(document(t, name+".bad.yaml")); err == nil {
			t.Errorf("%s is bad, but the schema accepts it", name)
		}
	}
}

func resolved(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	text, err := os.ReadFile("../../../docs/dragoman.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

// document reads a file as plain JSON values.
func document(t *testing.T, file string) any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		t.Fatal(err)
	}
	datesAsText(&node)
	var plain any
	if err := node.Decode(&plain); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// datesAsText makes of 2025-06-18 what YAML 1.2, and so an editor, takes it for.
func datesAsText(n *yaml.Node) {
	if n.Tag == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		datesAsText(c)
	}
}
