package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

func operation(leg, method, tool, failure, transport, revision string) string {
	server := ""
	if leg == "client" {
		server = `,server="files"`
	}
	return fmt.Sprintf(`mcp_%s_operation_duration_seconds_count{error_type=%q,gen_ai_tool_name=%q,mcp_method_name=%q,mcp_protocol_version=%q,network_transport=%q%s}`,
		leg, failure, tool, method, revision, transport, server)
}

func TestCallsAreCountedByWhatBecameOfThem(t *testing.T) {
	tel, _, _ := start(t, nil)
	list := &mcp.Request{Method: "tools/list", Client: &mcp.Client{Revision: mcp.Revision20250618}}
	for _, c := range []struct {
		req *mcp.Request
		h   mcp.Handler
	}{
		{call("read"), answering(`{"content":[]}`)},
		{call("read"), answering(`{"content":[],"isError":false}`)},
		{call("read"), answering(`{"content":[],"isError":true}`)},
		{call("read"), failing(mcp.Errorf(mcp.CodeUnavailable, "down"))},
		{call("read"), failing(context.DeadlineExceeded)},
		{call("read"), failing(fmt.Errorf("wrapped: %w", mcp.MethodNotFound("x")))},
		{call("read"), failing(errors.New("anything"))},
		{call("read"), failing(mcp.Errorf(-31999, "a code of the server's own"))},
		{list, answering(`{"tools":[],"isError":true}`)},
		{&mcp.Request{Method: "made/up"}, failing(mcp.MethodNotFound("made/up"))},
	} {
		_, _ = tel.Observe(c.h, incoming).Handle(t.Context(), c.req)
		_, _ = tel.Observe(c.h, toFiles).Handle(t.Context(), c.req)
	}
	want := make(map[string]string)
	for leg, transport := range map[string]string{"server": "tcp", "client": "pipe"} {
		for failure, n := range map[string]string{"": "2", "tool_error": "1", "1001": "1", "1002": "1", "-32601": "1", "-32603": "1", "other": "1"} {
			want[operation(leg, "tools/call", "read", failure, transport, "2026-07-28")] = n
		}
		want[operation(leg, "tools/list", "", "", transport, "2025-06-18")] = "1"
		want[operation(leg, "other", "", "-32601", transport, "")] = "1"
	}
	wantSamples(t, tel, want)
}

func TestLabelsAreBounded(t *testing.T) {
	tel, log, done := start(t, func(o *telemetry.Options) { o.ToolsPerServer = 3 })
	unknown := failing(mcp.Errorf(jsonrpc.CodeInvalidParams, "unknown tool"))
	observe := func(h mcp.Handler, tool, method, revision string) {
		req := &mcp.Request{Method: method, Name: tool, Client: &mcp.Client{Revision: mcp.Revision(revision)}}
		_, _ = tel.Observe(h, incoming).Handle(t.Context(), req)
	}
	for i := range 100 {
		observe(unknown, fmt.Sprintf("junk%d", i), "tools/call", "2026-07-28")
	}
	observe(answering(`{}`), strings.Repeat("x", 200), "tools/call", "2026-07-28")
	observe(answering(`{}`), "evil\u202e", "tools/call", "2026-07-28")
	for i := range 5 {
		observe(answering(`{}`), fmt.Sprintf("real%d", i), "tools/call", "2026-07-28")
		observe(unknown, "real0", "tools/call", "2026-07-28")
		observe(answering(`{}`), "", fmt.Sprintf("m/%d", i), fmt.Sprintf("20%d", i))
	}
	got := make(map[string]string)
	for name, value := range scrape(t, tel) {
		if strings.HasPrefix(name, "mcp_server_operation_duration_seconds_count") {
			got[name] = value
		}
	}
	want := map[string]string{
		operation("server", "tools/call", "other", "-32602", "tcp", "2026-07-28"): "100",
		operation("server", "tools/call", "other", "", "tcp", "2026-07-28"):       "4",
		operation("server", "tools/call", "real0", "", "tcp", "2026-07-28"):       "1",
		operation("server", "tools/call", "real1", "", "tcp", "2026-07-28"):       "1",
		operation("server", "tools/call", "real2", "", "tcp", "2026-07-28"):       "1",
		operation("server", "tools/call", "real0", "-32602", "tcp", "2026-07-28"): "5",
		operation("server", "other", "", "", "tcp", "other"):                      "5",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("series differ (-want +got):\n%s", d)
	}
	done()
	if text := log.String(); !strings.Contains(text, `"tool":"junk99"`) || !strings.Contains(text, `"method":"m/4"`) {
		t.Error("the log does not tell which tool and which method it was")
	}
}

func TestSeriesOfALegAreBounded(t *testing.T) {
	tel, _, _ := start(t, func(o *telemetry.Options) { o.ToolsPerServer = 1 << 20; o.Log.Level = "error" })
	h := tel.Observe(answering(`{}`), toFiles)
	for i := range 3000 {
		_, _ = h.Handle(t.Context(), call(fmt.Sprintf("t%d", i)))
	}
	n := 0
	for name := range scrape(t, tel) {
		if strings.HasPrefix(name, "mcp_client_operation_duration_seconds_count") {
			n++
		}
	}
	if n > 2001 {
		t.Errorf("%d series, want 2001 at most", n)
	}
	if c := tel.Counters("files"); c.Requests != 3000 {
		t.Errorf("%d requests counted, want 3000", c.Requests)
	}
}

func TestServersHaveTheirFigures(t *testing.T) {
	status := []telemetry.ServerStatus{
		{Name: "files", Up: true, Restarts: 3, Breaker: "half_open", MemoryBytes: 125_500_000, Tools: map[string]int{"shown": 7, "hidden": 2}},
		{Name: "far", Up: false},
	}
	tel, _, _ := start(t, func(o *telemetry.Options) { o.Servers = func() []telemetry.ServerStatus { return status } })
	for range 3 {
		_, _ = tel.Observe(answering(`{}`), toFiles).Handle(t.Context(), call("a"))
	}
	_, _ = tel.Observe(answering(`{"isError":true}`), toFiles).Handle(t.Context(), call("a"))
	wait, entered := make(chan struct{}), make(chan struct{}, 3)
	blocking := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		entered <- struct{}{}
		<-wait
		return mcp.EmptyResult(), nil
	})
	var all sync.WaitGroup
	all.Go(func() { _, _ = tel.Observe(blocking, toFiles).Handle(t.Context(), call("a")) })
	all.Go(func() { _, _ = tel.Observe(blocking, incoming).Handle(t.Context(), call("a")) })
	all.Go(func() {
		_, _ = tel.Observe(blocking, toFiles).Handle(t.Context(), &mcp.Request{Method: "subscriptions/listen"})
	})
	for range 3 {
		<-entered
	}
	wantSamples(t, tel, map[string]string{
		`mcp_server_requests_total{server="files"}`:                                "4",
		`mcp_server_active_connections{server="files"}`:                            "2",
		`mcp_server_error_rate{server="files"}`:                                    "0.25",
		`mcp_server_memory_usage_mb{server="files"}`:                               "125.5",
		`dragoman_server_up{server="files"}`:                                       "1",
		`dragoman_server_up{server="far"}`:                                         "0",
		`dragoman_server_restarts_total{server="files"}`:                           "3",
		`dragoman_tools{server="files",state="shown"}`:                             "7",
		`dragoman_tools{server="files",state="hidden"}`:                            "2",
		`dragoman_breaker_state{server="files",state="half_open"}`:                 "1",
		`dragoman_breaker_state{server="files",state="closed"}`:                    "0",
		`dragoman_requests_in_flight{server="",side="incoming"}`:                   "1",
		`dragoman_requests_in_flight{server="files",side="outgoing"}`:              "2",
		`mcp_server_requests_total{server="far"}`:                                  "0",
		`dragoman_log_lines_dropped_total`:                                         "0",
		`dragoman_build_info{commit="abc",go="` + goVersion + `",version="1.2.3"}`: "1",
	})
	close(wait)
	all.Wait()
	c := tel.Counters("files")
	if c.Requests != 5 || c.Errors != 1 || c.ErrorRate != 0.2 || c.Active != 0 || c.AverageResponse <= 0 {
		t.Errorf("counters are %+v", c)
	}
	tel.Forget("files")
	for name := range scrape(t, tel) {
		if strings.Contains(name, "operation_duration") && strings.Contains(name, `server="files"`) {
			t.Errorf("%s is still there", name)
		}
	}
	if c := tel.Counters("files"); c.Requests != 0 {
		t.Errorf("counters after Forget are %+v", c)
	}
}

func TestAPanicIsCountedAndGoesOn(t *testing.T) {
	tel, log, done := start(t, nil)
	h := tel.Observe(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { panic("boom") }), incoming)
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not go on")
			}
		}()
		_, _ = h.Handle(t.Context(), call("x"))
	}()
	wantSamples(t, tel, map[string]string{
		operation("server", "tools/call", "x", "-32603", "tcp", "2026-07-28"): "1",
		`dragoman_requests_in_flight{server="",side="incoming"}`:              "0",
	})
	done()
	if got := objects(t, log.String()); got[0]["level"] != "WARN" || got[0]["err"] != "the handler panicked" {
		t.Errorf("line is %v", got[0])
	}
}

func TestSessionsStreamsReloadsAndEndpointsAreCounted(t *testing.T) {
	tel, _, _ := start(t, nil)
	closeSession := tel.SessionOpened(incoming, mcp.Revision20250618)
	closeOther := tel.SessionOpened(toFiles, "made up")
	closeStream := tel.StreamOpened("sse")
	tel.Loaded(false, nil)
	tel.Loaded(true, nil)
	tel.Loaded(true, errors.New("bad"))
	var during map[string]string
	h := tel.Endpoint("/mcp", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { during = scrape(t, tel) }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/mcp", nil))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("BREW", "/mcp", nil))
	if during[`active_requests{endpoint="/mcp"}`] != "1" || during[`dragoman_sessions{side="outgoing"}`] != "1" || during[`dragoman_streams{kind="sse"}`] != "1" {
		t.Errorf("during the request: %v", during)
	}
	closeSession()
	closeOther()
	closeStream()
	wantSamples(t, tel, map[string]string{
		`active_requests{endpoint="/mcp"}`:                                                                                "0",
		`response_time_seconds_count{endpoint="/mcp",method="POST"}`:                                                      "1",
		`response_time_seconds_count{endpoint="/mcp",method="other"}`:                                                     "1",
		`dragoman_sessions{side="incoming"}`:                                                                              "0",
		`dragoman_sessions{side="outgoing"}`:                                                                              "0",
		`dragoman_streams{kind="sse"}`:                                                                                    "0",
		`dragoman_config_reloads_total{result="success"}`:                                                                 "1",
		`dragoman_config_reloads_total{result="failure"}`:                                                                 "1",
		`mcp_server_session_duration_seconds_count{mcp_protocol_version="2025-06-18",network_transport="tcp"}`:            `1`,
		`mcp_client_session_duration_seconds_count{mcp_protocol_version="other",network_transport="pipe",server="files"}`: `1`,
	})
	if at := scrape(t, tel)["dragoman_config_last_reload_success_timestamp_seconds"]; !strings.HasPrefix(at, "1.") {
		t.Errorf("time of the last load is %s", at)
	}
}
