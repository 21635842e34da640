package openapi_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
)

func arguments(t testing.TB, text string) map[string]json.RawMessage {
	t.Helper()
	var args map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		t.Fatal(err)
	}
	return args
}

func TestRequestsAreWrittenByTheSpecification(t *testing.T) {
	d := shop(t)
	for _, tc := range []struct {
		name, op, args, want string // METHOD path?query, then headers and body
	}{
		{"a list is repeated", "listItems", `{"tag": ["a b", "c&d"]}`, "GET /items?tag=a%20b&tag=c%26d"},
		{"pipes", "listItems", `{"ids": [1, 20000000000000000001]}`, "GET /items?ids=1%7C20000000000000000001"},
		{"a list in one value", "listItems", `{"sort": ["a,b", "c"]}`, "GET /items?sort=a%2Cb,c"},
		{"deepObject", "listItems", `{"filter": {"color": "blue", "size": 3, "in": {"x": [1, 2]}}}`, "GET /items?filter%5Bcolor%5D=blue&filter%5Bin%5D%5Bx%5D%5B0%5D=1&filter%5Bin%5D%5Bx%5D%5B1%5D=2&filter%5Bsize%5D=3"},
		{"JSON in a query", "listItems", `{"where": {"a": 1}}`, "GET /items?where=%7B%22a%22%3A1%7D"},
		{"a header and a cookie", "listItems", `{"X-Tenant": "t1", "page": "a;b=c"}`, "GET /items\nCookie: page=a%3Bb%3Dc\nX-Tenant: t1"},
		{"null is nothing", "listItems", `{"tag": null}`, "GET /items"},
		{"JSON", "createItem", `{"body": {"name": "<a & b>"}}`, "POST /items\nContent-Type: application/json\n\n{\"name\":\"<a & b>\"}"},
		{"a path", "getItem", `{"id": "ä b+%"}`, "GET /items/%C3%A4%20b%2B%25"},
		{"label and matrix", "styles", `{"a": "x", "b": "y", "path": {"k": "v", "l": "w w"}, "list": ["1", "2"]}`, "GET /areas/x.y/;k=v;l=w%20w/.1,2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := d.Operation(tc.op).Request(arguments(t, tc.args), openapi.Rules{})
			if err != nil {
				t.Fatal(err)
			}
			got := r.Method + " " + r.Path
			if r.Query != "" {
				got += "?" + r.Query
			}
			for _, name := range []string{"Content-Type", "Cookie", "X-Tenant"} {
				if v := r.Header.Get(name); v != "" {
					got += "\n" + name + ": " + v
				}
			}
			if r.Body != nil {
				got += "\n\n" + string(r.Body)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("for %s (-want +got):\n%s", tc.args, diff)
			}
		})
	}
}

func TestMultipart(t *testing.T) {
	r, err := shop(t).Operation("addPhoto").Request(arguments(t, `{"body": {"photo": {"base64": "AAEC", "filename": "a\"\r\nX-Evil: 1.png"}, "about": {"a": 1}, "title": "b"}}`), openapi.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	form, err := multipart.NewReader(strings.NewReader(string(r.Body)), params["boundary"]).ReadForm(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	photo := form.File["photo"][0]
	if photo.Size != 3 || photo.Header.Get("Content-Type") != "image/png" || photo.Header.Get("X-Evil") != "" || form.Value["about"][0] != `{"a":1}` || form.Value["title"][0] != "b" {
		t.Errorf("got %+v %v", photo.Header, form.Value)
	}
}

func TestArgumentsThatAreRefused(t *testing.T) {
	d := shop(t)
	rules := openapi.Rules{Query: []string{"api_key"}, Cookie: []string{"session"}, Header: []string{"X-Tenant"}, MaxBytes: 1000}
	for name, tc := range map[string]struct{ op, args, want string }{
		"an unknown one":             {"getItem", `{"id": "1", "x": 2}`, "there are: id"},
		"a required one is missing":  {"getItem", `{}`, "required"},
		"null where it is required":  {"getItem", `{"id": null}`, "required"},
		"the credentials' header":    {"listItems", `{"X-Tenant": "a"}`, "credentials"},
		"a line break in a header":   {"listItems", `{"X-Tenant": "a\r\nb: c"}`, "credentials"},
		"more than fits":             {"createItem", `{"body": {"name": "` + strings.Repeat("a", 1000) + `"}}`, "larger"},
		"an empty segment":           {"getItem", `{"id": ""}`, "empty"},
		"no body where there is one": {"createItem", `{}`, "required"},
		"two dots of two arguments":  {"styles", `{"a": ".", "b": ".", "path": {}, "list": []}`, "path"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.Operation(tc.op).Request(arguments(t, tc.args), rules)
			var argument *openapi.ArgumentError
			if !errors.As(err, &argument) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("for %s: got %v, want %q in it", tc.args, err, tc.want)
			}
		})
	}
	if _, err := d.Operation("listItems").Request(arguments(t, `{"X-Tenant": "a\nb"}`), openapi.Rules{}); err == nil {
		t.Error("a line break came into a header")
	}
}

// hostile are values of path parameters that were seen to lead elsewhere: FastMCP's GHSA-vv7q-7jx5-f767, hetzner-mcp 4,
// 13 and 37, and the encodings of traversal lists.
func hostile() []string {
	return []string{
		"../admin", "..", ".", "../../admin?", "..%2fadmin", "%2e%2e", "%2e%2e%2fadmin", "%252e%252e%252fadmin", "..%252f", "..\\admin", "..%5cadmin",
		"%5c%2e%2e", "//evil.example", "/admin", "a/b", "a%2fb", "..;/admin", "..;", "%2e%2e;x", ".;", "a\x00b", "a%00b", "a\r\nHost: evil", "a%0d%0aX: y",
		"\xff", "%ff%fe", "%c0%ae%c0%ae", "%25252525252525252e", "\u2028", "..%u2215", "%2e.", ".%2e", "%2E%2E", "%%32%65%%32%65",
	}
}

func TestHostilePathsAreRefusedOrStayWhereTheyAre(t *testing.T) {
	op := shop(t).Operation("getItem")
	for _, value := range hostile() {
		text, _ := json.Marshal(value)
		value = strings.ToValidUTF8(value, "\ufffd") // as JSON has it
		r, err := op.Request(map[string]json.RawMessage{"id": text}, openapi.Rules{})
		if err == nil {
			stays(t, r, value)
		}
	}
	for _, value := range []string{"?a=b", "#x", "a@b", "user:pass@evil", ";v=1", "a&b=c", "100%", "...", "a..b", ".hidden", "ünï", "a b", "%zz"} {
		text, _ := json.Marshal(value)
		r, err := op.Request(map[string]json.RawMessage{"id": text}, openapi.Rules{})
		if err != nil {
			t.Errorf("%q: %v, want that it is let through", value, err)
			continue
		}
		stays(t, r, value)
	}
}

// stays sees that a request of getItem has the segments of its template for whoever reads it.
func stays(t *testing.T, r *openapi.Request, value string) {
	t.Helper()
	u, err := url.Parse("https://api.example/v1" + r.Path)
	if err != nil {
		t.Fatalf("%q: %v", value, err)
	}
	segments := strings.Split(u.EscapedPath(), "/")
	path := u.Path
	for range 4 { // whoever decodes it again
		if clean := strings.Split(path, "/"); len(clean) != 4 || clean[3] == ".." || clean[3] == "." || strings.Contains(path, `\`) {
			t.Fatalf("%q: the path %q becomes %q", value, r.Path, path)
		}
		next, err := url.PathUnescape(path)
		if err != nil || next == path {
			break
		}
		path = next
	}
	switch {
	case u.Host != "api.example" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || r.Query != "":
		t.Fatalf("%q: the URL is %s", value, u)
	case len(segments) != 4 || segments[2] != "items" || segments[3] == "":
		t.Fatalf("%q: the segments are %q", value, segments)
	}
	if got, _ := url.PathUnescape(segments[3]); got != value {
		t.Fatalf("%q: arrives as %q", value, got)
	}
	in, err := http.NewRequest(r.Method, u.String(), nil)
	if err != nil {
		t.Fatalf("%q: %v", value, err)
	}
	mux := http.NewServeMux()
	reached := false
	mux.HandleFunc("GET /v1/items/{id}", func(_ http.ResponseWriter, r *http.Request) { reached = r.PathValue("id") == value })
	mux.ServeHTTP(httptest.NewRecorder(), in)
	if !reached {
		t.Fatalf("%q: another route was reached with %s", value, u)
	}
}

func FuzzPath(f *testing.F) {
	for _, value := range hostile() {
		f.Add(value)
	}
	op := shop(f).Operation("getItem")
	f.Fuzz(func(t *testing.T, value string) {
		text, _ := json.Marshal(value)
		if err := json.Unmarshal(text, &value); err != nil { // invalid UTF-8 does not survive JSON
			t.Skip()
		}
		if r, err := op.Request(map[string]json.RawMessage{"id": text}, openapi.Rules{}); err == nil {
			stays(t, r, value)
		}
	})
}

// TestRandomPaths makes values of pieces that mean something to someone; HTTPAPI_PATHS says how many.
func TestRandomPaths(t *testing.T) {
	count := 20_000
	if n, err := strconv.Atoi(os.Getenv("HTTPAPI_PATHS")); err == nil {
		count = n
	}
	pieces := append(hostile(), "a", "/", "\\", "%", "2", "f", "e", "5", "c", "25", "?", "#", "@", ":", ";", "&", "=", " ", "\t", "é", "日", "\u202e", "..", ".")
	op := shop(t).Operation("getItem")
	passed := 0
	r := rand.New(rand.NewPCG(1, 2))
	for range count {
		var value strings.Builder
		for range 1 + r.IntN(5) {
			value.WriteString(strings.ToValidUTF8(pieces[r.IntN(len(pieces))], ""))
		}
		text, _ := json.Marshal(value.String())
		if req, err := op.Request(map[string]json.RawMessage{"id": text}, openapi.Rules{}); err == nil {
			passed++
			stays(t, req, value.String())
		}
	}
	t.Logf("%d values, %d of them sent, 0 elsewhere", count, passed)
	if passed == 0 && count > 100 {
		t.Error("nothing was let through")
	}
}

func TestSlashesWhereTheyAreAllowed(t *testing.T) {
	op := shop(t).Operation("getItem")
	r, err := op.Request(arguments(t, `{"id": "group/project"}`), openapi.Rules{Slashes: true})
	if err != nil || r.Path != "/items/group%2Fproject" {
		t.Errorf("got %v %v, want %%2F", r, err)
	}
	for _, value := range []string{"a/../b", "../b", "a//b", "/a", "a/%2e%2e/b", "a/..;/b", `a\b`} {
		text, _ := json.Marshal(value)
		if r, err := op.Request(map[string]json.RawMessage{"id": text}, openapi.Rules{Slashes: true}); err == nil {
			t.Errorf("%q was let through as %s", value, r.Path)
		}
	}
}

func TestCredentialsCannotBeSetThroughAnObject(t *testing.T) {
	d, err := openapi.Read([]byte(`{"openapi": "3.0.0", "paths": {"/a": {"get": {"operationId": "a", "responses": {}, "parameters": [
		{"name": "any", "in": "query", "schema": {"type": "object"}}, {"name": "jar", "in": "cookie", "schema": {"type": "object"}}]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	rules := openapi.Rules{Query: []string{"api_key"}, Cookie: []string{"session"}}
	for _, args := range []string{`{"any": {"API_Key": "x"}}`, `{"any": {" api_key": "x"}}`, `{"jar": {"session": "x"}}`} {
		if r, err := d.Operation("a").Request(arguments(t, args), rules); err == nil {
			t.Errorf("%s: got %+v, want that it is refused", args, r)
		}
	}
}
