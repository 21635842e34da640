package httpapi_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

var specs = flag.String("specs", "", "a directory of documents that are not part of the repository")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type args = map[string]any

// got is the answer of a call.
type got struct {
	Status    int             `json:"status"`
	Body      json.RawMessage `json:"body"`
	Text      string          `json:"text"`
	Next      string          `json:"next"`
	Truncated bool            `json:"truncated"`
	Cursor    string          `json:"next_cursor"`
}

// serving runs an API for the test.
func serving(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// settings are those of testdata/small.yaml at an API, with others on top.
func settings(t testing.TB, base string, more args) *server.Env {
	t.Helper()
	all := args{"document": "testdata/small.yaml", "base_url": base, "writes": "on", "retry": args{"min_backoff": "1ms", "max_backoff": "2ms"}}
	maps.Copy(all, more)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return &server.Env{Settings: text}
}

func TestDefinitions(t *testing.T) {
	for _, surface := range []string{"direct", "search"} {
		tokens := servertest.Check(t, httpapi.New, settings(t, "https://notes.example", args{"surface": surface}))
		t.Logf("%s: %d tokens", surface, tokens)
	}
}

func TestEveryDocumentBecomesAServer(t *testing.T) {
	dir := *specs
	if dir == "" {
		dir = "testdata"
	}
	count := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || e.IsDir() || ext != ".json" && ext != ".yaml" {
			return err
		}
		path, err = filepath.Abs(path)
		if err != nil {
			return err
		}
		env := settings(t, "https://api.example", args{"document": path})
		s, err := server.Open(env, httpapi.New)
		if err != nil {
			if strings.Contains(err.Error(), "panic") || strings.Contains(err.Error(), "runtime error") {
				t.Errorf("%s: %v", path, err)
			}
			return nil
		}
		_ = s.Close()
		count++
		tokens := servertest.Check(t, httpapi.New, settings(t, "https://api.example", args{"document": path}))
		if tokens > servertest.MaxTokens {
			t.Errorf("%s: its surface is %d tokens", path, tokens)
		}
		if strings.Contains(path, "stripe") {
			t.Logf("%s: %d tokens", filepath.Base(path), tokens)
		}
		return nil
	})
	if err != nil || count == 0 {
		t.Fatal(count, err)
	}
	t.Logf("%d documents", count)
}

func TestDirectTools(t *testing.T) {
	var seen []string
	base := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("X-Token")+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `[{"id": 1, "text": "a", "by": {"name": "x", "mail": "y"}}, {"id": 2, "text": "b"}]`)
	})
	c := servertest.Open(t, httpapi.New, settings(t, base+"/v1", args{"auth": []args{{"scheme": "token", "api_key": "s3cret"}}}))
	var out got
	r := c.Must(t, "listNotes", args{"tag": "a/b ü", "_fields": []string{"id", "by.name"}}, &out)
	if string(out.Body) != `[{"by":{"name":"x"},"id":1},{"id":2}]` {
		t.Errorf("fields: got %s", out.Body)
	}
	if r.Meta["dragoman/untrusted"] != true {
		t.Errorf("meta: got %v, want that the content is marked", r.Meta)
	}
	c.Must(t, "addNote", args{"body": args{"text": "hello"}}, nil)
	c.Must(t, "getNote", args{"id": "a b"}, nil)
	want := []string{"GET /v1/notes?tag=a%2Fb%20%C3%BC s3cret ", `POST /v1/notes s3cret {"text":"hello"}`, "GET /v1/notes/a%20b s3cret "}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("requests: got %q, want %q", seen, want)
	}
	for name, in := range map[string]args{"a slash": {"id": "../admin"}, "nothing": {"id": ""}, "a number": {"id": 5}, "another": {"id": "1", "x": 1}} {
		if r, err := c.Call(t.Context(), "getNote", in); err != nil || !r.IsError {
			t.Errorf("%s: got %v %v, want an error", name, r.Text(), err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("requests went out that were refused: %q", seen[3:])
	}
}

func TestTwoLevels(t *testing.T) {
	base := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"at": %q}`, r.Method+" "+r.URL.Path)
	})
	c := servertest.Open(t, httpapi.New, settings(t, base, args{"surface": "search"}))
	var found struct {
		Operations []struct{ Name, Request string }
		Total      int
		NextCursor string `json:"next_cursor"`
	}
	c.Must(t, "search", args{"query": "remove delete note"}, &found)
	if found.Operations[0].Name != "deleteNote" || found.Operations[0].Request != "DELETE /notes/{id}" {
		t.Errorf("search: got %+v", found)
	}
	c.Must(t, "search", args{"limit": 3}, &found)
	if len(found.Operations) != 3 || found.Total != 4 || found.NextCursor == "" {
		t.Errorf("search: got %+v, want 3 of 4 and a cursor", found)
	}
	c.Must(t, "search", args{"cursor": found.NextCursor}, &found)
	if len(found.Operations) != 1 {
		t.Errorf("search: got %+v, want the last", found)
	}
	var described struct{ Arguments struct{ Required []string } }
	c.Must(t, "describe", args{"operation": "deleteNote"}, &described)
	if len(described.Arguments.Required) != 1 {
		t.Errorf("describe: got %+v", described)
	}
	var out got
	c.Must(t, "call", args{"operation": "getNote", "arguments": args{"id": "7"}}, &out)
	if string(out.Body) != `{"at":"GET /notes/7"}` {
		t.Errorf("call: got %s", out.Body)
	}
	r, err := c.Call(t.Context(), "call", args{"operation": "getNot"})
	if err != nil || !r.IsError || !strings.Contains(r.Text(), "search") {
		t.Errorf("call of nothing: got %s %v", r.Text(), err)
	}
}

func TestWritesAskTheUser(t *testing.T) {
	var count atomic.Int32
	base := serving(t, func(http.ResponseWriter, *http.Request) { count.Add(1) })
	c := servertest.Open(t, httpapi.New, settings(t, base, args{"writes": "ask"}))
	r, err := c.Call(t.Context(), "deleteNote", args{"id": "1"})
	if err == nil && !r.IsError || count.Load() != 0 {
		t.Errorf("got %s %v and %d requests, want that a client that cannot ask is refused", r.Text(), err, count.Load())
	}
	c.Must(t, "getNote", args{"id": "1"}, nil)
	off := servertest.Open(t, httpapi.New, settings(t, base, args{"writes": "off"}))
	if _, err := off.Call(t.Context(), "deleteNote", args{"id": "1"}); err == nil {
		t.Error("a write is a tool although writes are off")
	}
}

func TestFailuresTellTheNextStep(t *testing.T) {
	status, header := 0, http.Header{}
	base := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"message": "no"}`)
	})
	for code, want := range map[int]string{
		401: "settings.auth", 403: "operator", 404: "path", 409: "read it again", 422: "arguments", 302: "Location", 500: "failed",
	} {
		status, header = code, http.Header{}
		if code == 302 {
			header.Set("Location", "https://evil.example/")
		}
		c := servertest.Open(t, httpapi.New, settings(t, base, nil))
		r, err := c.Call(t.Context(), "getNote", args{"id": "1"})
		var out got
		if err != nil || json.Unmarshal(r.Structured, &out) != nil || out.Status != code || !strings.Contains(out.Next, want) || r.IsError != (code >= 400) {
			t.Errorf("%d: got %v %s, want %q", code, err, r.Text(), want)
		}
	}
	c := servertest.Open(t, httpapi.New, settings(t, "http://127.0.0.1:1", nil))
	r, err := c.Call(t.Context(), "getNote", args{"id": "1"})
	if err != nil || !r.IsError || strings.Contains(r.Text(), "127.0.0.1") || !strings.Contains(r.Text(), "try again") {
		t.Errorf("nobody there: got %v %s", err, r.Text())
	}
}

func TestLongAnswersArePaged(t *testing.T) {
	var count atomic.Int32
	var rows []string
	for i := range 500 {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"text":"some words of note %d"}`, i, i))
	}
	base := serving(t, func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		if strings.HasSuffix(r.URL.Path, "/text") {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, strings.Repeat("wörds and ", 3000))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"total": 500, "data": {"items": [`+strings.Join(rows, ",")+`]}}`)
	})
	c := servertest.Open(t, httpapi.New, settings(t, base, args{"limits": args{"max_tokens": 1000}}))
	ids, cursor := 0, ""
	alice := mcp.WithPrincipal(t.Context(), mcp.Principal{ID: "alice"})
	for range 100 {
		in := args{}
		if cursor != "" {
			in["_cursor"] = cursor
		}
		r, err := c.Call(alice, "listNotes", in)
		var out got
		var body struct {
			Data struct{ Items []struct{ ID int } }
		}
		if err != nil || r.IsError || json.Unmarshal(r.Structured, &out) != nil || json.Unmarshal(out.Body, &body) != nil {
			t.Fatalf("got %v %s", err, r.Text())
		}
		for _, item := range body.Data.Items {
			if item.ID != ids {
				t.Fatalf("got note %d, want %d", item.ID, ids)
			}
			ids++
		}
		if cursor = out.Cursor; cursor == "" {
			break
		}
		bob := mcp.WithPrincipal(t.Context(), mcp.Principal{ID: "bob"})
		if r, err := c.Call(bob, "listNotes", args{"_cursor": cursor}); err == nil && !r.IsError {
			t.Fatal("bob goes on with what alice has called")
		}
	}
	if ids != 500 || count.Load() != 1 {
		t.Errorf("got %d notes with %d requests, want 500 with 1", ids, count.Load())
	}
	var text strings.Builder
	for in := (args{"id": "text"}); ; {
		var out got
		c.Must(t, "getNote", in, &out)
		text.WriteString(out.Text)
		if out.Cursor == "" {
			break
		}
		in = args{"id": "text", "_cursor": out.Cursor}
	}
	if text.String() != strings.Repeat("wörds and ", 3000) {
		t.Errorf("got %d bytes of text", text.Len())
	}
}

// TestABusyAPI is an API that counts what it is sent and answers 429 now and then. That the rate is held is tested in
// package outbound, where time is ours.
func TestABusyAPI(t *testing.T) {
	var mu sync.Mutex
	requests, posts := 0, map[string]int{}
	base := serving(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests++
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			posts[string(body)]++
		}
		if requests%5 == 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	c := servertest.Open(t, httpapi.New, settings(t, base, args{"rate": args{"per_second": 40, "burst": 2, "max_wait": "20s"}, "cache": "0B"}))
	var wg sync.WaitGroup
	var failed atomic.Int32
	for i := range 16 {
		wg.Go(func() {
			tool, in := "getNote", args{"id": fmt.Sprint(i)}
			if i%2 == 0 {
				tool, in = "addNote", args{"body": args{"text": fmt.Sprint(i)}}
			}
			r, err := c.Call(context.Background(), tool, in)
			if err != nil || r.IsError {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	for body, n := range posts {
		if n != 1 {
			t.Errorf("%s was posted %d times", body, n)
		}
	}
	t.Logf("%d requests, %d posts, %d calls told of a failure", requests, len(posts), failed.Load())
	if len(posts) != 8 {
		t.Errorf("got %d posts, want 8", len(posts))
	}
}

func TestTokensAreFetchedOnce(t *testing.T) {
	var fetched, refused atomic.Int32
	var good atomic.Value
	good.Store("t1")
	var basic string
	tokens := serving(t, func(w http.ResponseWriter, r *http.Request) {
		n := fetched.Add(1)
		user, secret, _ := r.BasicAuth()
		basic = user + ":" + secret + " " + r.FormValue("grant_type") + " " + r.FormValue("scope")
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token": "t%d", "token_type": "Bearer", "expires_in": 3600}`, n)
	})
	base := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+good.Load().(string) {
			refused.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := servertest.Open(t, httpapi.New, settings(t, base, args{"cache": "0B", "auth": []args{{"oauth2": args{
		"token_url": tokens, "client_id": "me", "client_secret": "hush", "scopes": []string{"a", "b"}}}}}))
	all := func() {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if r, err := c.Call(context.Background(), "getNote", args{"id": fmt.Sprint(i)}); err != nil || r.IsError {
					t.Errorf("got %v %s", err, r.Text())
				}
			})
		}
		wg.Wait()
	}
	all()
	if fetched.Load() != 1 || basic != "me:hush client_credentials a b" {
		t.Errorf("fetched %d times with %q, want once", fetched.Load(), basic)
	}
	good.Store("t2") // the API has dropped the first
	all()
	if fetched.Load() != 2 {
		t.Errorf("fetched %d times, want twice, although %d calls were refused", fetched.Load(), refused.Load())
	}
}

func TestAnswersAreKeptByTheRules(t *testing.T) {
	var count, asked atomic.Int32
	base := serving(t, func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		switch {
		case strings.HasSuffix(r.URL.Path, "fresh"):
			w.Header().Set("Cache-Control", "max-age=60")
		case strings.HasSuffix(r.URL.Path, "tagged"):
			w.Header().Set("Etag", `"v1"`)
			if r.Header.Get("If-None-Match") == `"v1"` {
				asked.Add(1)
				w.WriteHeader(http.StatusNotModified)
				return
			}
		case strings.HasSuffix(r.URL.Path, "secret"):
			w.Header().Set("Cache-Control", "no-store, max-age=60")
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"n": %d}`, count.Load())
	})
	c := servertest.Open(t, httpapi.New, settings(t, base, nil))
	as := func(who, tool, id string) string {
		t.Helper()
		r, err := c.Call(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: who}), tool, args{"id": id})
		var out got
		if err != nil || r.IsError || json.Unmarshal(r.Structured, &out) != nil {
			t.Fatalf("got %v %s", err, r.Text())
		}
		return string(out.Body)
	}
	for name, tc := range map[string]struct {
		id   string
		same bool
	}{"with a lifetime": {"fresh", true}, "with a tag": {"tagged", true}, "not to be kept": {"secret", false}, "with nothing": {"plain", false}} {
		if a, b := as("alice", "getNote", tc.id), as("alice", "getNote", tc.id); (a == b) != tc.same {
			t.Errorf("%s: got %s and %s, want the same: %v", name, a, b, tc.same)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times whether it still holds, want once", asked.Load())
	}
	if a, b := as("alice", "getNote", "fresh"), as("bob", "getNote", "fresh"); a == b {
		t.Error("bob is given alice's answer")
	}
	before := as("alice", "getNote", "fresh")
	as("alice", "deleteNote", "fresh")
	if before == as("alice", "getNote", "fresh") {
		t.Error("an answer is given after the thing was deleted")
	}
}

func TestWire(t *testing.T) {
	servertest.Script(t, httpapi.New, func(t *testing.T) *server.Env {
		return settings(t, "http://127.0.0.1:1", args{"surface": "search", "writes": "ask", "document": "testdata/small.yaml"})
	}, "testdata/wire.txt")
}

func TestADocumentOnTheNetworkIsPinned(t *testing.T) {
	text, err := os.ReadFile("testdata/small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var changed atomic.Bool
	at := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(text)
		if changed.Load() {
			_, _ = io.WriteString(w, "# and more\n")
		}
	})
	data := t.TempDir()
	open := func(more args) (*servertest.Client, func() string) {
		env := settings(t, "https://notes.example", more)
		env.DataDir = data
		c := servertest.Open(t, httpapi.New, env)
		return c, func() string {
			return c.Server.Health(t.Context()).Dependencies["api"].Reason
		}
	}
	ready := func(c *servertest.Client) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range 1000 {
			if r, err := c.Call(t.Context(), "search", args{}); err == nil && !r.IsError {
				return
			}
			<-tick.C
		}
		t.Fatal("the document has not arrived")
	}
	c, reason := open(args{"document": at, "surface": "search"})
	ready(c)
	if got := reason(); got != "" {
		t.Errorf("health: got %q", got)
	}
	changed.Store(true)
	c, reason = open(args{"document": at, "surface": "search"})
	ready(c)
	if got := reason(); !strings.Contains(got, "has changed") || !strings.Contains(got, "settings.pin") {
		t.Errorf("health: got %q, want that the document has changed", got)
	}
	c, _ = open(args{"document": at, "surface": "search", "pin": "sha256:" + strings.Repeat("0", 64)})
	r, err := c.Call(t.Context(), "search", args{})
	if err != nil || !r.IsError || !strings.Contains(r.Text(), "not known yet") {
		t.Errorf("with another pin: got %v %s", err, r.Text())
	}
	if _, err := server.Open(settings(t, "https://a.example", args{"pin": "sha256:" + strings.Repeat("0", 64)}), httpapi.New); err == nil || !strings.Contains(err.Error(), "hash") {
		t.Errorf("a file with another hash: got %v", err)
	}
}

func TestSearchFindsWhatIsMeant(t *testing.T) {
	c := servertest.Open(t, httpapi.New, settings(t, "https://notes.example", args{"surface": "search"}))
	for query, want := range map[string]string{"create note": "addNote", "list notes": "listNotes", "read one note by id": "getNote", "remove": "deleteNote"} {
		var found struct{ Operations []struct{ Name string } }
		c.Must(t, "search", args{"query": query}, &found)
		if len(found.Operations) == 0 || found.Operations[0].Name != want {
			t.Errorf("%q: got %+v, want %s first", query, found.Operations, want)
		}
	}
}
