package telemetry_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/google/go-cmp/cmp"
)

func TestACallLeavesOneLine(t *testing.T) {
	tel, log, done := start(t, nil)
	ctx := mcp.WithRequestID(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: "laptop"}), "req-1")
	req := call("files__read")
	req.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if _, err := tel.Observe(answering(`{}`), incoming).Handle(ctx, req); err != nil {
		t.Fatal(err)
	}
	done()
	got := objects(t, log.String())
	if len(got) != 1 {
		t.Fatalf("%d lines, want 1: %s", len(got), log)
	}
	if _, ok := got[0]["duration_ms"].(float64); !ok {
		t.Errorf("duration_ms is %v", got[0]["duration_ms"])
	}
	delete(got[0], "duration_ms")
	delete(got[0], "time")
	want := map[string]any{
		"level": "INFO", "msg": "call", "method": "tools/call", "tool": "files__read", "revision": "2026-07-28", "transport": "tcp",
		"request_id": "req-1", "trace_id": "0af7651916cd43dd8448eb211c80319c", "principal": "laptop",
	}
	if d := cmp.Diff(want, got[0]); d != "" {
		t.Errorf("line differs (-want +got):\n%s", d)
	}
}

func TestTheLineOfAFailureSaysWhat(t *testing.T) {
	tel, log, done := start(t, func(o *telemetry.Options) { o.QuietCalls = true })
	for _, h := range []mcp.Handler{
		answering(`{}`), // quiet
		failing(mcp.Errorf(-32602, "unknown tool: x")),
		failing(errors.New("disk is gone")),
		failing(mcp.Errorf(mcp.CodeTimeout, "%s", strings.Repeat("ä", 1000))),
	} {
		_, _ = tel.Observe(h, incoming).Handle(t.Context(), call("x"))
	}
	done()
	type line struct{ level, tool, failure, err any }
	var got []line
	for _, o := range objects(t, log.String()) {
		got = append(got, line{o["level"], o["tool"], o["error_type"], o["err"]})
	}
	long := "json-rpc error 1002: " + strings.Repeat("ä", (512-len("json-rpc error 1002: "))/2) + "…"
	want := []line{
		{"INFO", "x", "-32602", "json-rpc error -32602: unknown tool: x"},
		{"WARN", "x", "-32603", "disk is gone"},
		{"WARN", "x", "1002", long},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(line{})); d != "" {
		t.Errorf("lines differ (-want +got):\n%s", d)
	}
}

// hostile are texts that would write a line of their own, act on a terminal or
// show something else than they say (threat T18).
var hostile = []string{
	"\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\n",
	"\x1b[2J\x1b]0;title\x07",
	"\u202egnp.exe",
	"a\x00b",
	"bad \xff\xfe utf-8",
	"\u009b31m C1",
	"\x7f\x08\x08",
	"\u2028line\u2029paragraph",
	"tag \U000e0041\U000e007f",
	"zero\u200bwidth\ufeff",
	`back\` + "\u202e",
	`"quoted", "msg":"x"`,
	strings.Repeat("\u202e", 400),
}

func TestNobodyWritesALineOfTheirOwn(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		for _, evil := range hostile {
			tel, log, done := start(t, func(o *telemetry.Options) { o.Log.Format = format })
			ctx := mcp.WithRequestID(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: evil}), evil)
			_, _ = tel.Observe(failing(errors.New(evil)), incoming).Handle(ctx, call(evil))
			req := call("x")
			req.Method = evil
			_, _ = tel.Observe(answering(`{}`), incoming).Handle(ctx, req)
			tel.Logger().WarnContext(ctx, "server wrote", "server", evil, "err", errors.New(evil), "lines", []string{evil})
			done()
			if n := strings.Count(log.String(), "\n"); n != 3 {
				t.Errorf("%s of %q: %d lines, want 3:\n%s", format, evil, n, log)
			}
			for _, r := range log.String() {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("%s of %q: %U is in the log", format, evil, r)
				}
			}
			if format == "json" {
				checkForged(t, evil, objects(t, log.String()))
			}
		}
	}
}

func checkForged(t *testing.T, evil string, lines []map[string]any) {
	t.Helper()
	if len(evil) > 500 {
		evil = ""
	}
	for _, o := range lines {
		if o["msg"] != "call" && o["msg"] != "server wrote" {
			t.Errorf("%q became a message: %v", evil, o)
		}
		if want := strings.ToValidUTF8(evil, "\ufffd"); evil != "" && strings.Count(want, "\ufffd") == 0 && o["principal"] != want && o["server"] != want {
			t.Errorf("%q came back as %q and %q", evil, o["principal"], o["server"])
		}
	}
}

func TestTheLogKnowsItsRequest(t *testing.T) {
	tel, log, done := start(t, nil)
	h := tel.Observe(mcp.HandlerFunc(func(ctx context.Context, _ *mcp.Request) (mcp.Result, error) {
		tel.Logger().With("server", "files").InfoContext(ctx, "inside")
		return mcp.EmptyResult(), nil
	}), incoming)
	req := call("x")
	req.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	_, _ = h.Handle(mcp.WithRequestID(t.Context(), "r9"), req)
	tel.Logger().Info("outside")
	done()
	got := objects(t, log.String())
	if got[0]["request_id"] != "r9" || got[0]["trace_id"] != "0af7651916cd43dd8448eb211c80319c" || got[0]["server"] != "files" {
		t.Errorf("line inside of the call is %v", got[0])
	}
	if _, has := got[2]["request_id"]; has {
		t.Errorf("line outside of a call is %v", got[2])
	}
}

func TestTheLevelCanBeChanged(t *testing.T) {
	tel, log, done := start(t, func(o *telemetry.Options) { o.Log.Level = "warn" })
	h := tel.Observe(answering(`{}`), incoming)
	_, _ = h.Handle(t.Context(), call("before"))
	if err := tel.SetLogLevel("debug"); err != nil {
		t.Fatal(err)
	}
	_, _ = h.Handle(t.Context(), call("after"))
	tel.Logger().Debug("detail")
	if err := tel.SetLogLevel("loud"); err == nil {
		t.Error("level loud is accepted")
	}
	done()
	if got := objects(t, log.String()); len(got) != 2 || got[0]["tool"] != "after" || got[1]["msg"] != "detail" {
		t.Errorf("log is\n%s", log)
	}
}

// blocked is a reader of the log that has stopped.
type blocked struct{ entered, release chan struct{} }

func (b *blocked) Write(p []byte) (int, error) {
	select {
	case b.entered <- struct{}{}:
	default:
	}
	<-b.release
	return len(p), nil
}

func TestNobodyWaitsForTheReaderOfTheLog(t *testing.T) {
	out := &blocked{entered: make(chan struct{}, 1), release: make(chan struct{})}
	tel, err := telemetry.New(telemetry.Options{Output: out})
	if err != nil {
		t.Fatal(err)
	}
	h := tel.Observe(answering(`{}`), incoming)
	tel.Logger().Info("first")
	<-out.entered
	for range 2 * telemetry.MaxPending / 100 {
		if _, err := h.Handle(t.Context(), call("x")); err != nil {
			t.Fatal(err)
		}
	}
	if dropped := scrape(t, tel)["dragoman_log_lines_dropped_total"]; dropped == "" || dropped == "0" {
		t.Errorf("dropped lines are %q, want some", dropped)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tel.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close gives %v, want that it did not wait", err)
	}
	close(out.release)
	if err := tel.Close(t.Context()); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestALogWithoutOutputIsRefused(t *testing.T) {
	if _, err := telemetry.New(telemetry.Options{}); err == nil {
		t.Error("no error")
	}
	_, err := telemetry.New(telemetry.Options{Output: io.Discard, Telemetry: collectorAt("http://127.0.0.1:4318")})
	if err == nil {
		t.Error("no error without a transport")
	}
}
