package time_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	builtintime "github.com/dragoman-mcp/dragoman/internal/builtin/time"
	"github.com/dragoman-mcp/dragoman/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTools(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 7, 28, 9, 30, 0, 0, time.UTC) }
	here, there := sdk.NewInMemoryTransports()
	made, err := server.Open(&server.Env{Version: "1", Now: now}, builtintime.New)
	if err != nil {
		t.Fatal(err)
	}
	session, err := made.SDK().Connect(context.Background(), there, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := sdk.NewClient(&sdk.Implementation{Name: "t", Version: "1"}, nil).Connect(context.Background(), here, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = session.Wait()
		_ = made.Close()
	})
	for _, c := range []struct {
		name, tool string
		args       map[string]any
		want       string // part of the answer
		fails      bool
	}{
		{"now is in UTC unless told otherwise", "now", nil, `"time":"2026-07-28T09:30:00Z"`, false},
		{"now in a zone tells its offset and that it is summer", "now", map[string]any{"tz": "Europe/Amsterdam"}, `"time":"2026-07-28T11:30:00+02:00","tz":"Europe/Amsterdam","utc_offset":"+02:00","weekday":"Tuesday","unix":1785231000,"dst":true,"iso_week":"2026-W31"`, false},
		{"a zone that does not exist is an error that says what to write", "now", map[string]any{"tz": "Mars/Olympus"}, "Europe/Amsterdam", true},
		{"the machine's own zone is not told", "now", map[string]any{"tz": "Local"}, "there is no time zone", true},
		{"a time with an offset converts", "convert", map[string]any{"time": "2026-01-01T00:00:00Z", "to": "America/New_York"}, "2025-12-31T19:00:00-05:00", false},
		{"a local time converts from its zone", "convert", map[string]any{"time": "2026-01-01 12:00", "from": "Asia/Tokyo", "to": "UTC"}, "2026-01-01T03:00:00Z", false},
		{"a time of day is today's", "convert", map[string]any{"time": "23:15", "from": "UTC", "to": "Asia/Tokyo"}, "2026-07-29T08:15:00+09:00", false},
		{"what is no time is an error that says what to write", "convert", map[string]any{"time": "noon", "to": "UTC"}, "2026-07-28T09:30", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: c.tool, Arguments: c.args})
			if err != nil {
				t.Fatal(err)
			}
			got := stringOf(t, r.StructuredContent) + r.Content[0].(*sdk.TextContent).Text
			if r.IsError != c.fails || !strings.Contains(got, c.want) {
				t.Errorf("%s %v: error %v, got %s, want %q", c.tool, c.args, r.IsError, got, c.want)
			}
		})
	}
}

func stringOf(t *testing.T, v any) string {
	t.Helper()
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	// In the order in which the tool declares them.
	var b strings.Builder
	for _, k := range []string{"time", "tz", "utc_offset", "weekday", "unix", "dst", "iso_week"} {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		text, err := json.Marshal(m[k])
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(`"` + k + `":` + string(text))
	}
	return b.String()
}
