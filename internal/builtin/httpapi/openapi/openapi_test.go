package openapi_test

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
)

// specs is a directory of documents that are not part of the repository: pb33f/libopenapi's test_specs and
// readmeio/oas-examples, for example.
var specs = flag.String("specs", "", "import every document below this directory")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shop(t testing.TB) *openapi.Document {
	t.Helper()
	text, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := openapi.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocumentIsReadWithItsCoverage(t *testing.T) {
	d := shop(t)
	if d.Title != "Shop" || d.Servers[0] != "https://eu.shop.example/v1" || !strings.HasPrefix(d.Hash, "sha256:") {
		t.Errorf("got %q %q %q", d.Title, d.Servers, d.Hash)
	}
	var names []string
	for _, op := range d.Operations {
		names = append(names, op.Name)
	}
	want := []string{"styles", "listItems", "createItem", "getItem", "deleteItem", "addPhoto"}
	if !slices.Equal(names, want) {
		t.Errorf("operations: got %q, want %q", names, want)
	}
	reasons := map[string]string{}
	for _, s := range d.Skipped {
		reasons[s.Method+" "+s.Path] = s.Reason
	}
	for at, want := range map[string]string{
		"GET /outside":    "leads out of the document",
		"POST /outside":   "leads out of the document",
		"PUT /outside":    "leads out of the document",
		"DELETE /outside": "leads to nothing",
		"GET /elsewhere":  "server of its own",
		"GET /a/../b":     ". or .. as a segment",
	} {
		if !strings.Contains(reasons[at], want) {
			t.Errorf("%s: got %q, want %q in it", at, reasons[at], want)
		}
	}
	if got := d.Operation("listItems").Security; len(got) != 2 || got[0][0] != "key" {
		t.Errorf("security: got %q", got)
	}
	if got := d.Operation("deleteItem").Security; got != nil {
		t.Errorf("security of deleteItem: got %q, want none", got)
	}
	for _, p := range d.Operation("listItems").Parameters {
		if p.Name == "Authorization" || p.Name == "Host" {
			t.Errorf("the header %s is an argument", p.Name)
		}
	}
}

func TestSchemasStandAlone(t *testing.T) {
	d := shop(t)
	input, _ := json.Marshal(d.Operation("createItem").Input(openapi.View{}))
	if strings.Contains(string(input), `"id"`) || !strings.Contains(string(input), `"secret"`) || strings.Contains(string(input), "\u200b") {
		t.Errorf("input: got %s, want no id, a secret, and nothing invisible", input)
	}
	answers, _ := json.Marshal(d.Operation("getItem").Answers(openapi.View{}))
	if !strings.Contains(string(answers), `"id"`) || strings.Contains(string(answers), `"secret"`) {
		t.Errorf("answers: got %s, want an id and no secret", answers)
	}
	if strings.Contains(string(input), "$ref") {
		t.Errorf("input: got %s, want no references", input)
	}
}

func TestNotDocuments(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"a list":              "[]",
		"no version":          "{}",
		"a version to come":   "openapi: 4.0.0",
		"an anchor in itself": "openapi: 3.0.0\npaths: &a {b: *a}",
		"cut JSON":            `{"openapi": "3.0`,
		"too deep":            "openapi: 3.0.0\nx: " + strings.Repeat("[", 300) + strings.Repeat("]", 300),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := openapi.Read([]byte(text)); err == nil {
				t.Error("it was read")
			}
		})
	}
}

func TestAliasesOfAliasesCostNothing(t *testing.T) {
	var text strings.Builder
	text.WriteString("openapi: 3.0.0\nx0: &x0 [a]\n")
	last := "x0"
	for _, c := range "bcdefghijklmnopqrstuvwxyz" {
		next := "x" + string(c)
		text.WriteString(next + ": &" + next + " [*" + last + ", *" + last + ", *" + last + "]\n")
		last = next
	}
	if _, err := openapi.Read([]byte(text.String())); err != nil {
		t.Fatal(err)
	}
}

func TestEveryDocument(t *testing.T) {
	dir := "testdata"
	if *specs != "" {
		dir = *specs
	}
	var documents, operations, skipped int
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || e.IsDir() || ext != ".json" && ext != ".yaml" && ext != ".yml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		d, err := openapi.Read(text)
		if err != nil {
			t.Logf("%-60s no document: %v", name, err)
			return nil
		}
		documents++
		operations += len(d.Operations)
		skipped += len(d.Skipped)
		t.Logf("%-60s %s: %d operations, %d skipped", name, d.Format, len(d.Operations), len(d.Skipped))
		for _, s := range d.Skipped {
			t.Logf("    %s %s: %s", s.Method, s.Path, s.Reason)
		}
		names := map[string]bool{}
		for _, op := range d.Operations {
			if names[op.Name] || op.Name == "" || len(op.Name) > 64 {
				t.Errorf("%s: the name %q is not good", name, op.Name)
			}
			names[op.Name] = true
			readable(t, name, op)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d documents, %d operations, %d skipped", documents, operations, skipped)
}

// readable sees that the schemas of an operation are schemas.
func readable(t *testing.T, file string, op *openapi.Operation) {
	t.Helper()
	text, err := json.Marshal(op.Input(openapi.View{}))
	if err != nil {
		t.Fatalf("%s: %s: %v", file, op.Name, err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Errorf("%s: %s: the input schema: %v", file, op.Name, err)
		return
	}
	if _, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true}); err != nil {
		t.Errorf("%s: %s: the input schema: %v\n%s", file, op.Name, err, text)
	}
	if _, err := json.Marshal(op.Answers(openapi.View{Depth: 3})); err != nil {
		t.Errorf("%s: %s: the answers: %v", file, op.Name, err)
	}
}
