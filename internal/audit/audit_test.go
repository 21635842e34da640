package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/google/go-cmp/cmp"
)

func TestACallIsRecordedBeforeAndAfter(t *testing.T) {
	c := settings(t.TempDir())
	now := time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)
	l := open(t, audit.Options{Config: c, Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	req := call("write_file", `{"path":"a.txt","password":"hunter2","n":5}`)
	req.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	req.Client = &mcp.Client{Revision: "2026-07-28", Info: []byte(`{"name":"claude","version":"1.2"}`)}
	ctx := mcp.WithPrincipal(mcp.WithRequestID(context.Background(), "R1"), mcp.Principal{ID: "ada", Method: "jwt"})
	ctx = audit.WithDefinition(audit.WithDecision(ctx, audit.Decision{Effect: "allow", Rule: "admins", Policy: "v7"}), "sha256:abc")
	seen := 0
	h := l.Record("files")(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		seen = len(records(t, c)) // the intent is on disk when the call is made
		return mcp.RawResult([]byte(`{"content":[],"isError":true}`)), nil
	}))
	if _, err := h.Handle(ctx, req); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	got := records(t, c)
	if seen != 2 || len(got) != 3 {
		t.Fatalf("%d records were on disk when the call was made and %d at the end, want 2 and 3", seen, len(got))
	}
	digest, _ := got[1]["digest"].(string)
	if !strings.HasPrefix(digest, "hmac-sha256:") {
		t.Errorf("digest is %q", digest)
	}
	for _, r := range got {
		delete(r, "hash")
		delete(r, "digest")
	}
	want := []record{
		{"seq": 1.0, "batch": 1.0, "kind": "opened", "time": "2026-11-21T05:00:00.001000Z", "text": got[0]["text"]},
		{"seq": 2.0, "batch": 2.0, "kind": "intent", "time": "2026-11-21T05:00:00.003000Z", "principal": "ada", "auth": "jwt",
			"client": "claude/1.2", "revision": "2026-07-28", "method": "tools/call", "server": "files", "name": "write_file",
			"definition": "sha256:abc", "decision": "allow", "rule": "admins", "policy": "v7",
			"arguments": map[string]any{"path": "a.txt", "password": scan.Redacted, "n": 5.0}, "bytes_in": float64(len(req.Params.Raw())),
			"trace": "0af7651916cd43dd8448eb211c80319c", "request": "R1"},
		{"seq": 3.0, "batch": 3.0, "kind": "outcome", "of": 2.0, "time": got[2]["time"], "outcome": "tool error", "bytes_out": 29.0,
			"duration_us": got[2]["duration_us"]},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if r := whole(t, c); r.Records != 3 || r.Unsealed != 0 || r.Unfinished != 0 {
		t.Errorf("report is %+v", r)
	}
}

func TestWhichCallsAreRecorded(t *testing.T) {
	for _, tt := range []struct{ reads, method, name, want string }{
		{"outcome", "tools/call", "write", "intent outcome"}, {"outcome", "tools/call", "get_x", "call"},
		{"outcome", "resources/read", "file:///x", "call"}, {"outcome", "tools/list", "", ""}, {"outcome", "tasks/cancel", "T", "intent outcome"},
		{"outcome", "vendor/anything", "", "intent outcome"}, {"off", "resources/read", "x", ""}, {"off", "tools/call", "get_x", ""},
		{"off", "tools/call", "write", "intent outcome"}, {"strict", "tools/list", "", "intent outcome"},
		{"strict", "resources/read", "x", "intent outcome"},
	} {
		t.Run(tt.reads+" "+tt.method+" "+tt.name, func(t *testing.T) {
			c := settings(t.TempDir())
			c.Reads, c.ReadTools = tt.reads, []string{"files.get_*"}
			l := open(t, audit.Options{Config: c})
			next := &counting{}
			if _, err := l.Record("files")(next).Handle(context.Background(), &mcp.Request{Method: tt.method, Name: tt.name}); err != nil {
				t.Fatal(err)
			}
			closeLog(t, l)
			var kinds []string
			for _, r := range records(t, c)[1:] {
				kinds = append(kinds, r["kind"].(string))
			}
			if got := strings.Join(kinds, " "); got != tt.want || next.n.Load() != 1 {
				t.Errorf("recorded %q, want %q; called %d times", got, tt.want, next.n.Load())
			}
		})
	}
}

func TestHowCallsEnd(t *testing.T) {
	c := settings(t.TempDir())
	l := open(t, audit.Options{Config: c})
	for _, tt := range []struct {
		res  string
		err  error
		want string
	}{
		{`{}`, nil, "complete 0"}, {`{"isError":true}`, nil, "tool error 0"}, {`{"resultType":"input_required"}`, nil, "input_required 0"},
		{``, mcp.Errorf(-32602, "no"), "error -32602"}, {``, errors.New("secret text"), "error -32603"},
		{``, context.Canceled, "cancelled 0"}, {``, context.DeadlineExceeded, "timeout 0"},
	} {
		h := l.Record("s")(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
			if tt.err != nil {
				return mcp.Result{}, tt.err
			}
			return mcp.RawResult([]byte(tt.res)), nil
		}))
		if _, err := h.Handle(context.Background(), call("x", "{}")); !errors.Is(err, tt.err) {
			t.Errorf("%s: the error became %v", tt.want, err)
		}
		all := records(t, c)
		code, _ := all[len(all)-1]["code"].(float64)
		if got := fmt.Sprint(all[len(all)-1]["outcome"], " ", code); got != tt.want {
			t.Errorf("outcome is %q, want %q", got, tt.want)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = l.Record("s")(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { panic("x") })).
			Handle(context.Background(), call("x", "{}"))
	}()
	all := records(t, c)
	if got := all[len(all)-1]["outcome"]; got != "panic" {
		t.Errorf("the outcome of a call that panicked is %q", got)
	}
	closeLog(t, l)
}

func TestADiskThatFailsRefusesSideEffectsAndIsMended(t *testing.T) {
	for name, fail := range map[string][2]error{
		"a flush fails": {nil, syscall.EIO}, "the disk is full": {syscall.ENOSPC, nil}, "both": {syscall.ENOSPC, syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := settings(t.TempDir())
				disk, next := &faulty{}, &counting{}
				l := open(t, audit.Options{Config: c, OpenFile: disk.open})
				h := l.Record("files")(next)
				ctx := context.Background()
				if _, err := h.Handle(ctx, call("write", "{}")); err != nil {
					t.Fatal(err)
				}
				disk.set(fail[0], fail[1])
				for range 3 {
					_, err := h.Handle(ctx, call("write", `{"lost":true}`))
					if wire := mcp.WireError(err); wire.Code != mcp.CodeUnavailable || !errors.Is(err, audit.ErrUnavailable) ||
						string(wire.Data) != `{"reason":"audit"}` {
						t.Errorf("the error is %v, want CodeUnavailable", err)
					}
				}
				if _, err := h.Handle(ctx, &mcp.Request{Method: "resources/read", Name: "x"}); err != nil {
					t.Errorf("a read ended with %v, want an answer", err)
				}
				if err := l.Event(ctx, audit.Event{Name: "token created"}); !errors.Is(err, audit.ErrUnavailable) {
					t.Errorf("an event ended with %v", err)
				}
				if n := next.n.Load(); n != 2 {
					t.Errorf("%d calls were made, want 2: one before, and the read", n)
				}
				if s := l.Status(); s.Err == nil || s.Dropped != 1 {
					t.Errorf("status is %+v, want an error and the read dropped", s)
				}
				disk.set(nil, nil)
				<-time.After(31 * time.Second) // of the bubble's clock
				synctest.Wait()
				if _, err := h.Handle(ctx, call("write", "{}")); err != nil {
					t.Errorf("after the disk was mended: %v", err)
				}
				closeLog(t, l)
				r := whole(t, c)
				if r.Records != 6 || r.Recoveries != 1 || r.Unfinished != 0 || r.Segments != 2 {
					t.Errorf("report is %+v", r)
				}
				if strings.Contains(onDisk(t, c.Dir), "lost") {
					t.Error("a record that was refused is in the log")
				}
			})
		})
	}
}

func TestADiskThatHangsDoesNotHoldCallsForEver(t *testing.T) {
	c := settings(t.TempDir())
	c.Timeout = 20 * time.Millisecond
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	disk := &hanging{release: release, entered: entered}
	l := open(t, audit.Options{Config: c, OpenFile: disk.open})
	next := &counting{}
	disk.on.Store(true)
	_, err := l.Record("files")(next).Handle(context.Background(), call("write", "{}"))
	if mcp.WireError(err).Code != mcp.CodeUnavailable || next.n.Load() != 0 {
		t.Errorf("the error is %v and %d calls were made, want CodeUnavailable and none", err, next.n.Load())
	}
	close(release)
	closeLog(t, l)
	all := records(t, c)
	if last := all[len(all)-1]; last["outcome"] != "not made" || whole(t, c).Unfinished != 0 {
		t.Errorf("the last record is %v, want one that says that the call was not made", last)
	}
}

func TestManyAtOnceAcrossSegments(t *testing.T) {
	c := settings(t.TempDir())
	c.SegmentSize, c.CheckpointRecords = 64<<10, 100
	l := open(t, audit.Options{Config: c})
	h := l.Record("files")(&counting{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				if _, err := h.Handle(context.Background(), call("write", `{"path":"x"}`)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	r := whole(t, c)
	if r.Records != 3201 || r.Segments < 5 || r.Checkpoints < 10 || r.Unfinished != 0 || r.Unsealed != 0 {
		t.Errorf("report is %+v", r)
	}
	l = open(t, audit.Options{Config: c})
	closeLog(t, l)
	if r := whole(t, c); r.Records != 3202 {
		t.Errorf("after it was opened again the report is %+v", r)
	}
}

func TestOldSegmentsAreRemovedAndThatIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := settings(t.TempDir())
		c.SegmentAge, c.Retention, c.CheckpointInterval = time.Hour, 10*time.Hour, time.Minute
		l := open(t, audit.Options{Config: c})
		for range 20 {
			if err := l.Event(context.Background(), audit.Event{Name: "tick"}); err != nil {
				t.Fatal(err)
			}
			<-time.After(70 * time.Minute) // of the bubble's clock
		}
		closeLog(t, l)
		r := whole(t, c)
		if r.Retired == 0 || r.Last != 21 || r.Records+r.Retired != 21 || r.Records > 12 {
			t.Errorf("report is %+v, want the oldest records retired", r)
		}
		all, _ := filepath.Glob(filepath.Join(c.Dir, "audit-*.jsonl"))
		if err := os.Remove(all[0]); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, c); len(r.Faults) == 0 {
			t.Error("a segment that somebody else removed was not missed")
		}
	})
}

func TestTwoProcessesDoNotShareALog(t *testing.T) {
	c := settings(t.TempDir())
	l := open(t, audit.Options{Config: c})
	if _, err := audit.Open(audit.Options{Config: c, Redactor: scan.New(nil)}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second Open gives %v", err)
	}
	closeLog(t, l)
}

func TestAKeyThatOthersCanReadIsRefused(t *testing.T) {
	c := settings(t.TempDir())
	closeLog(t, open(t, audit.Options{Config: c}))
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604} {
		if err := os.Chmod(c.Key(), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Open(audit.Options{Config: c, Redactor: scan.New(nil)}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %#o: Open gives %v", mode, err)
		}
	}
	if err := os.Remove(c.Key()); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(audit.Options{Config: c, Redactor: scan.New(nil)}); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("with another key Open gives %v", err)
	}
}

func TestNoSecretReachesTheDisk(t *testing.T) {
	c := settings(t.TempDir())
	l := open(t, audit.Options{Config: c})
	ctx := context.Background()
	var secrets []string
	next := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		return mcp.Result{}, fmt.Errorf("upstream said: %s", req.Params.Raw())
	})
	for i := range 200 {
		secret := func(kind string) string {
			s := fmt.Sprintf("%sCANARY%dx%sq7w8e9r0t1y2u3i4o5p6", kind, i, strings.Repeat("Zk", 6))
			secrets = append(secrets, s)
			return s
		}
		args, _ := json.Marshal(map[string]any{"password": secret("a"), "text": "use " + secret("ghp_") + " please",
			"nested": map[string]any{"client_secret": []string{secret("b")}}, "url": "https://u:" + secret("c") + "@h/?token=" + secret("d")})
		req := call("login", string(args))
		req.Client = &mcp.Client{Info: []byte(`{"name":"` + secret("sk-") + `","version":"1"}`)}
		_, _ = l.Record("s")(next).Handle(ctx, req)
		_, _ = l.Record("s")(next).Handle(ctx, &mcp.Request{Method: "resources/read", Name: "https://h/x?sig=" + secret("e")})
		l.Refused(ctx, "s", req)
		_ = l.Event(ctx, audit.Event{Name: "token created", Attrs: [][2]string{{"token", secret("f")}, {"note", secret("hf_")}}})
	}
	closeLog(t, l)
	disk := onDisk(t, filepath.Dir(c.Dir))
	hits := 0
	for _, s := range secrets {
		if strings.Contains(disk, s) || strings.Contains(disk, s[4:]) {
			if hits++; hits < 4 {
				at := strings.Index(disk, s[4:])
				t.Errorf("%q is on disk: …%s", s, disk[max(0, at-80):at+60])
			}
		}
	}
	if hits > 0 || len(secrets) < 1000 {
		t.Errorf("%d of %d canaries are on disk", hits, len(secrets))
	}
	whole(t, c)
}
