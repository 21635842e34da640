package openapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
)

// styles is a document with a parameter of each style, filled with what is asked for.
const styled = `{"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "servers": [{"url": "https://api.example"}], "paths": {"/a/{p}": {"get": {
	"operationId": "a", "responses": {"200": {"description": "ok"}}, "parameters": [
	{"name": "p", "in": "path", "required": true, "style": "PSTYLE", "explode": PEXPLODE, "schema": PSCHEMA},
	{"name": "q", "in": "query", "style": "QSTYLE", "explode": QEXPLODE, "schema": QSCHEMA},
	{"name": "X-H", "in": "header", "explode": PEXPLODE, "schema": PSCHEMA}]}}}}`

const (
	textSchema   = `{"type": "string"}`
	listSchema   = `{"type": "array", "items": {"type": "string"}}`
	objectSchema = `{"type": "object", "properties": {"k": {"type": "string"}, "l": {"type": "string"}}}`
)

// TestAnotherReaderUnderstandsEveryStyle has kin-openapi, with which servers read requests, read what we write.
func TestAnotherReaderUnderstandsEveryStyle(t *testing.T) {
	values := map[string]any{textSchema: "a b&c=d", listSchema: []any{"a&b", "c d", "e=f"}, objectSchema: map[string]any{"k": "x&y", "l": "z w"}}
	for _, tc := range []struct{ pStyle, pExplode, pSchema, qStyle, qExplode, qSchema string }{
		{"simple", "false", textSchema, "form", "true", textSchema},
		{"simple", "false", listSchema, "form", "true", listSchema},
		{"simple", "true", listSchema, "form", "false", listSchema},
		{"simple", "false", objectSchema, "form", "true", objectSchema},
		{"simple", "true", objectSchema, "form", "false", objectSchema},
		{"label", "false", listSchema, "spaceDelimited", "true", listSchema},
		{"label", "true", objectSchema, "deepObject", "true", objectSchema},
		{"matrix", "false", textSchema, "pipeDelimited", "true", listSchema},
		{"matrix", "true", objectSchema, "pipeDelimited", "false", listSchema},
		{"matrix", "true", listSchema, "spaceDelimited", "false", listSchema},
	} {
		name := strings.Join([]string{tc.pStyle, tc.pExplode, tc.pSchema[9:15], tc.qStyle, tc.qExplode, tc.qSchema[9:15]}, " ")
		t.Run(name, func(t *testing.T) {
			text := strings.NewReplacer("PSTYLE", tc.pStyle, "PEXPLODE", tc.pExplode, "PSCHEMA", tc.pSchema, "QSTYLE", tc.qStyle, "QEXPLODE", tc.qExplode, "QSCHEMA", tc.qSchema).Replace(styled)
			q := values[tc.qSchema]
			if tc.qExplode == "false" && tc.qSchema != textSchema && tc.qStyle == "spaceDelimited" {
				q = []any{"a&b", "c", "e=f"} // a space in a value is a separator for whoever reads it
			}
			h := values[tc.pSchema]
			read(t, text, map[string]any{"p": values[tc.pSchema], "q": q, "X-H": h})
		})
	}
}

// read sends arguments and compares them with what kin-openapi reads.
func read(t *testing.T, text string, want map[string]any) {
	t.Helper()
	d, err := openapi.Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	args := map[string]json.RawMessage{}
	for name, v := range want {
		args[name], _ = json.Marshal(v)
	}
	made, err := d.Operation("a").Request(args, openapi.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(made.Method, "https://api.example"+made.Path+"?"+made.Query, io.NopCloser(bytes.NewReader(made.Body)))
	for name, values := range made.Header {
		req.Header[name] = values
	}
	route, path, err := router.FindRoute(req)
	if err != nil {
		t.Fatal(err)
	}
	for name := range path { // the router leaves it encoded
		if plain, err := url.PathUnescape(path[name]); err == nil {
			path[name] = plain
		}
	}
	input := &openapi3filter.RequestValidationInput{Request: req, PathParams: path, Route: route}
	for _, p := range route.Operation.Parameters {
		// That it reads the same value is said by a schema that allows no other.
		p.Value.Schema.Value.Enum = []any{want[p.Value.Name]}
		if err := openapi3filter.ValidateParameter(t.Context(), input, p.Value); err != nil {
			t.Errorf("%s=%v is read from %s?%s %v as something else: %v", p.Value.Name, want[p.Value.Name], made.Path, made.Query, made.Header, err)
		}
		p.Value.Schema.Value.Enum = []any{"something else"}
		if err := openapi3filter.ValidateParameter(t.Context(), input, p.Value); err == nil {
			t.Errorf("%s: any value would do", p.Value.Name)
		}
	}
}

// TestAnotherReaderFindsTheSameOperations compares what is imported with what kin-openapi finds in the same document.
func TestAnotherReaderFindsTheSameOperations(t *testing.T) {
	dir := "testdata"
	if *specs != "" {
		dir = *specs
	}
	compared := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || e.IsDir() || ext != ".json" && ext != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		loader := openapi3.NewLoader()
		doc, err := loader.LoadFromData(text)
		if err != nil || doc.OpenAPI == "" || !strings.HasPrefix(doc.OpenAPI, "3.") || doc.Paths == nil {
			return nil // it reads all or nothing, and 3 only
		}
		ours, err := openapi.Read(text)
		if err != nil {
			t.Errorf("%s: %v, but kin-openapi reads it", path, err)
			return nil
		}
		var got, want []string
		for _, op := range ours.Operations {
			got = append(got, op.Method+" "+op.Path)
		}
		for _, s := range ours.Skipped {
			got = append(got, s.Method+" "+s.Path)
		}
		for at, item := range doc.Paths.Map() {
			for method := range item.Operations() {
				if method != http.MethodConnect {
					want = append(want, method+" "+at)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-kin-openapi +ours):\n%s", path, diff)
		}
		compared++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d documents have the same operations", compared)
}
