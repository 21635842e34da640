package filesystem_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/s3"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// sparse is a bucket with one object of some size, big.txt, which is lines of 16 bytes with their numbers. Nothing of it
// is stored.
func sparse(size int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/big.txt") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		var from, to int64 = 0, size - 1
		w.Header().Set("ETag", `"the-only-one"`)
		w.Header().Set("Last-Modified", "Sat, 21 Nov 2026 09:00:00 GMT")
		if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n > 0 {
			to = min(to, size-1)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, size))
			w.Header().Set("Content-Length", strconv.FormatInt(to-from+1, 10))
			w.WriteHeader(http.StatusPartialContent)
		} else {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		if r.Method == http.MethodHead {
			return
		}
		buf := make([]byte, 0, 64<<10)
		for at := from; at <= to; {
			buf = buf[:0]
			for line := at / 16; len(buf) < 32<<10; line++ {
				buf = append(buf, "line 0000000000\n"...)
				for digit, n := len(buf)-2, line; n > 0; digit, n = digit-1, n/10 {
					buf[digit] += byte(n % 10)
				}
			}
			part := buf[at%16:]
			if left := to - at + 1; int64(len(part)) > left {
				part = part[:left]
			}
			if _, err := w.Write(part); err != nil {
				return
			}
			at += int64(len(part))
		}
	}
}

// TestALargeObjectIsReadInLittleMemory reads parts of an object of 10 GiB by the tool, and streams 64 MiB of it, or all
// with DRAGOMAN_LARGE=1. It prints by how much memory grew.
func TestALargeObjectIsReadInLittleMemory(t *testing.T) {
	const size = 10 << 30
	stream := int64(64 << 20)
	if os.Getenv("DRAGOMAN_LARGE") != "" {
		stream = size
	}
	at := httptest.NewServer(sparse(size))
	defer at.Close()
	c := opened(t, args{"url": "s3://big", "s3": args{"endpoint": at.URL, "region": "us-east-1", "anonymous": true}}, nil, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, tc := range []struct {
		in   args
		want string
	}{
		{args{"path": "big.txt", "head": 2}, `"text":"line 0000000000\nline 0000000001\n","size":10737418240`},
		{args{"path": "big.txt", "tail": 1}, `"text":"line 0671088639\n","size":10737418240,"offset":10737418224`},
		{args{"path": "big.txt", "offset": size / 2, "length": 16}, `"text":"line 0335544320\n"`},
		{args{"path": "big.txt"}, `"truncated":true`},
	} {
		if r := c.Must(t, "read", tc.in, nil); !strings.Contains(string(r.Structured), tc.want) {
			t.Errorf("%v: got %.300s, want %s", tc.in, r.Structured, tc.want)
		}
	}
	runtime.ReadMemStats(&after)
	t.Logf("4 reads of an object of 10 GiB allocated %d KiB in all, the service's part included", (after.TotalAlloc-before.TotalAlloc)>>10)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
		t.Errorf("allocated %d bytes, want at most 64 MiB", allocated)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	store, err := s3.New(s3.Options{Bucket: "big", Endpoint: at.URL, Region: "us-east-1", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	v, err := objects.New(store, "")
	if err != nil {
		t.Fatal(err)
	}
	f, err := v.Open(t.Context(), "big.txt")
	if err != nil {
		t.Fatal(err)
	}
	body, err := f.Range(t.Context(), 0, stream)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	debug.FreeOSMemory()
	rss := resident(t)
	began := time.Now()
	n, err := io.Copy(io.Discard, body)
	grown := resident(t) - rss
	t.Logf("%d MiB streamed in %v: resident memory grew by %d KiB", n>>20, time.Since(began).Round(time.Millisecond), grown>>10)
	if err != nil || n != stream {
		t.Errorf("got %d bytes, %v, want %d", n, err, stream)
	}
	if grown > 64<<20 {
		t.Errorf("memory grew by %d bytes, want at most 64 MiB", grown)
	}
}

// resident is how much memory the process has, in bytes; 0 where that is not known.
func resident(t *testing.T) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestPrefixesAreDirectories serves pre, beside which there are pre2 and pre-secret.
func TestPrefixesAreDirectories(t *testing.T) {
	onAll(t, func(t *testing.T, mount func(string) args) {
		for _, sibling := range []string{"pre2", "pre-secret", "pr"} {
			opened(t, mount(sibling), nil, nil).Must(t, "write", args{"path": "secret.txt", "text": "secret"}, nil)
		}
		for name, c := range map[string]*servertest.Client{
			"in the URL":      opened(t, mount("pre"), nil, nil),
			"in the settings": opened(t, mount(""), args{"prefix": "pre"}, nil),
		} {
			t.Run(name, func(t *testing.T) {
				c.Must(t, "write", args{"path": "own.txt", "text": "own"}, nil)
				for tool, in := range map[string]args{"list": {}, "search": {"name": "**"}} {
					if got := string(c.Must(t, tool, in, nil).Structured); strings.Contains(got, "secret") || !strings.Contains(got, `"path":"own.txt"`) {
						t.Errorf("%s: got %s, want own.txt alone", tool, got)
					}
				}
				for _, path := range []string{"2/secret.txt", "../pre2/secret.txt", "..%2fpre2/secret.txt", "pre2/secret.txt", "-secret/secret.txt", "/../pre2/secret.txt", "x/../../pre2/secret.txt"} {
					reachesNothing(t, c, path)
				}
			})
		}
	})
}

// reachesNothing tries a path with every argument that names one, and fails when what is outside is read, changed or told of.
func reachesNothing(t *testing.T, c *servertest.Client, path string) {
	t.Helper()
	for _, s := range []struct {
		tool string
		in   args
	}{
		{"read", args{"path": path}},
		{"list", args{"path": path}},
		{"search", args{"path": path, "text": "secret"}},
		{"edit", args{"path": path, "edits": []args{{"old": "secret", "new": "gone"}}}},
		{"change", args{"op": "delete", "path": path}},
		{"change", args{"op": "move", "path": path, "to": "stolen.txt"}},
		{"change", args{"op": "copy", "path": path, "to": "stolen.txt"}},
	} {
		r, err := c.Call(t.Context(), s.tool, s.in)
		if err != nil {
			t.Fatal(err)
		}
		if !r.IsError && strings.Contains(string(r.Structured), `"text":"secret"`) || !r.IsError && s.tool != "search" {
			t.Errorf("%s %v: got %s", s.tool, s.in, r.Structured)
		}
	}
}

// TestTraversalListsReachNothing tries paths as the public lists of payloads have them, on every kind.
func TestTraversalListsReachNothing(t *testing.T) {
	deep := strings.Repeat("../", 8)
	paths := []string{
		"..", "../", "/..", "/../", "../secret.txt", "a/../../secret.txt", deep + "etc/passwd", "/" + deep + "etc/passwd", strings.Repeat("..\\", 8) + "etc\\passwd",
		"..//..//secret.txt", "..././..././secret.txt", "....//....//secret.txt", "..;/secret.txt", "%2e%2e%2fsecret.txt", "%252e%252e%252fsecret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt",
		"..%c0%afsecret.txt", "..%ef%bc%8fsecret.txt", "%c0%ae%c0%ae/secret.txt", "..\u2215secret.txt", "\uff0e\uff0e/secret.txt", "..\uff0fsecret.txt", "\u2025/secret.txt", "..%00/secret.txt",
		"..\x00/secret.txt", "secret.txt\x00.txt", "file:///etc/passwd", "/etc/passwd", "//etc/passwd", "C:\\secret.txt", "\\\\host\\secret.txt", "./../secret.txt", "..%5csecret.txt", "s3://dragoman-test/secret.txt",
		"gs://dragoman-test/secret.txt", "?prefix=../secret.txt", "x?versionId=1&prefix=", "#", "*", strings.Repeat("a", 2000), strings.Repeat("a/", 600), "\ud7ff\x7f", "\u202e/secret.txt",
	}
	onAll(t, func(t *testing.T, mount func(string) args) {
		opened(t, mount(""), nil, nil).Must(t, "write", args{"path": "secret.txt", "text": "secret"}, nil)
		c := opened(t, mount("served"), nil, nil)
		for _, path := range paths {
			reachesNothing(t, c, path)
		}
		for _, path := range paths { // some of these are names like any other
			_, _ = c.Call(t.Context(), "write", args{"path": path, "text": "mine"})
			_, _ = c.Call(t.Context(), "change", args{"op": "mkdir", "path": path})
		}
		if got := string(opened(t, mount(""), nil, nil).Must(t, "read", args{"path": "secret.txt"}, nil).Structured); !strings.Contains(got, `"text":"secret"`) {
			t.Errorf("what is outside was changed: %s", got)
		}
		var root struct{ Entries []struct{ Path string } }
		opened(t, mount(""), nil, nil).Must(t, "list", args{}, &root)
		for _, e := range root.Entries {
			if e.Path != "secret.txt" && e.Path != "served" {
				t.Errorf("%q was made outside", e.Path)
			}
		}
	})
}

// TestSearchOfABucketIsBounded reads so many bytes for one answer and goes on with the next, and leaves out what is large.
func TestSearchOfABucketIsBounded(t *testing.T) {
	endpoint := kinds()[1].mount(t)("bounded")
	endpoint["write"] = true
	text, err := json.Marshal(args{"mounts": []any{endpoint}, "search": args{"max_object": "2KiB", "max_fetch": "4KiB"}})
	if err != nil {
		t.Fatal(err)
	}
	c := servertest.Open(t, filesystem.New, &server.Env{Settings: text})
	for i := range 9 {
		c.Must(t, "write", args{"path": fmt.Sprintf("f%d", i), "text": strings.Repeat(fmt.Sprintf("needle %d\n", i), 150)}, nil)
	}
	c.Must(t, "write", args{"path": "large", "text": strings.Repeat("needle\n", 1000)}, nil)
	found, pages, skipped := 0, 0, 0
	in := args{"text": "needle 8"}
	for more := true; more; pages++ {
		var out struct {
			Matches []json.RawMessage
			Skipped int
			Next    string `json:"next_cursor"`
		}
		c.Must(t, "search", in, &out)
		found, skipped, in["cursor"], more = found+len(out.Matches), skipped+out.Skipped, out.Next, out.Next != ""
	}
	if found != 150 || skipped != 1 || pages < 4 {
		t.Errorf("got %d matches, %d skipped in %d pages, want 150, 1 and 4 or more", found, skipped, pages)
	}
}

// TestFaultsOfServicesAreTold has mounts that cannot work, and finds the next step in each error, and no key.
func TestFaultsOfServicesAreTold(t *testing.T) {
	const canary = "canary-secret-77"
	onAll(t, func(t *testing.T, mount func(string) args) {
		good := mount("x")
		url, _ := good["url"].(string)
		if strings.HasPrefix(url, "file:") {
			t.Skip("there is no service")
		}
		down := clone(good)
		service := "s3"
		if strings.HasPrefix(url, "gs:") {
			service = "gcs"
		}
		of := clone(good[service].(args))
		of["endpoint"] = "http://127.0.0.1:1"
		down[service] = of
		missing := clone(good)
		missing["url"] = strings.Replace(url, "dragoman-test", "dragoman-none", 1)
		tries := map[string]args{"does not answer": down, "there is no such bucket": missing}
		if strings.Contains(t.Name(), "signed") {
			wrong, keys := clone(good), clone(good["s3"].(args))
			keys["secret_key"] = canary
			wrong["s3"] = keys
			tries["refuses the credentials"] = wrong
		}
		for want, m := range tries {
			c := opened(t, m, nil, nil)
			for tool, in := range map[string]args{"list": {}, "search": {"text": "x"}, "write": {"path": "a/b", "text": "x"}, "read": {"path": "a"}} {
				ctx, cancel := context.WithTimeout(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: "a"}), time.Minute)
				r, err := c.Call(ctx, tool, in)
				cancel()
				if err != nil {
					t.Fatal(err)
				}
				told := r.Text()
				ok := strings.Contains(told, want) || tool == "read" && want == "there is no such bucket" && strings.Contains(told, "is not there")
				if !r.IsError || !ok || strings.Contains(told, canary) || !strings.Contains(told, "; ") {
					t.Errorf("%s of %s: got %q, want %q and what to do", tool, m["url"], told, want)
				}
			}
		}
	})
}

func clone(m args) args {
	n := args{}
	for k, v := range m {
		n[k] = v
	}
	return n
}

// TestALargeFileGoesThereAndBack copies 20 MiB and a bit into each kind of mount, which takes it in parts, and back.
func TestALargeFileGoesThereAndBack(t *testing.T) {
	data := make([]byte, 20<<20+7)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	onAll(t, func(t *testing.T, mount func(string) args) {
		dir := tree(t, map[string]string{"there": string(data)})
		far := clone(mount("large"))
		far["name"], far["write"], far["max_bytes"] = "far", true, "64MiB"
		if strings.HasSuffix(t.Name(), "/s3") { // gofakes3 keeps the frames of parts that are signed, see below
			at := far["s3"].(args)["endpoint"]
			far["s3"] = args{"endpoint": at, "region": "us-east-1", "anonymous": true}
		}
		text, err := json.Marshal(args{"mounts": []any{args{"name": "near", "url": dir, "write": true, "max_bytes": "64MiB"}, far}})
		if err != nil {
			t.Fatal(err)
		}
		c := servertest.Open(t, filesystem.New, &server.Env{Settings: text})
		for _, step := range []args{
			{"op": "copy", "path": "near/there", "to": "far/d/there"},
			{"op": "copy", "path": "far/d/there", "to": "far/d/again"},
			{"op": "move", "path": "far/d", "to": "far/e"},
			{"op": "copy", "path": "far/e/again", "to": "near/back"},
		} {
			c.Must(t, "change", step, nil)
		}
		back, err := os.ReadFile(filepath.Join(dir, "back"))
		if err != nil || !bytes.Equal(back, data) {
			t.Errorf("%d bytes came back, %v, which are not those that went", len(back), err)
		}
	})
}

// TestBytesThatAServiceAddsAreNoticed has a service that keeps the frames in which signed parts are sent.
func TestBytesThatAServiceAddsAreNoticed(t *testing.T) {
	far := kinds()[1].mount(t)("garbled")
	far["name"], far["write"], far["max_bytes"] = "far", true, "64MiB"
	dir := tree(t, map[string]string{"there": strings.Repeat("0123456789abcdef", 17<<16)})
	text, err := json.Marshal(args{"mounts": []any{args{"name": "near", "url": dir, "max_bytes": "64MiB"}, far}})
	if err != nil {
		t.Fatal(err)
	}
	c := servertest.Open(t, filesystem.New, &server.Env{Settings: text})
	r, err := c.Call(t.Context(), "change", args{"op": "copy", "path": "near/there", "to": "far/there"})
	if err != nil || !r.IsError || !strings.Contains(r.Text(), "other bytes than were sent") {
		t.Errorf("got %s, %v, want an error", r.Text(), err)
	}
	if got := string(c.Must(t, "list", args{"path": "far"}, nil).Structured); strings.Contains(got, "there") {
		t.Errorf("it is there all the same: %s", got)
	}
}
