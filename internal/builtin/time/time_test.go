package time_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	builtintime "github.com/dragoman-mcp/dragoman/internal/builtin/time"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func env(*testing.T) *server.Env {
	return &server.Env{Now: func() time.Time { return time.Date(2026, 7, 28, 9, 30, 0, 0, time.UTC) }}
}

func TestDefinitions(t *testing.T) { servertest.Check(t, builtintime.New, nil) }

func TestWire(t *testing.T) { servertest.Script(t, builtintime.New, env, "testdata/wire.txt") }

func TestItHasNoSettings(t *testing.T) {
	e := env(t)
	e.Settings = []byte(`{"zone": "UTC"}`)
	if _, err := server.Open(e, builtintime.New); err == nil || !strings.Contains(err.Error(), "settings.zone: unknown key") {
		t.Errorf("got %v, want that the key is unknown", err)
	}
}

func TestTools(t *testing.T) {
	c := servertest.Open(t, builtintime.New, env(t))
	type args = map[string]any
	for _, tc := range []struct {
		name, tool string
		args       args
		want       string // part of the answer
		fails      bool
	}{
		{"now in a zone tells its offset and that it is summer", "now", args{"tz": "Europe/Amsterdam"}, `"time":"2026-07-28T11:30:00+02:00","tz":"Europe/Amsterdam","utc_offset":"+02:00","weekday":"Tuesday","unix":1785231000,"dst":true`, false},
		{"the machine's own zone is not told", "now", args{"tz": "Local"}, "there is no time zone", true},
		{"a time with an offset converts", "convert", args{"time": "2026-01-01T00:00:00Z", "to": "America/New_York"}, "2025-12-31T19:00:00-05:00", false},
		{"a local time converts from its zone", "convert", args{"time": "2026-01-01 12:00", "from": "Asia/Tokyo", "to": "UTC"}, "2026-01-01T03:00:00Z", false},
		{"a time of day is today's", "convert", args{"time": "23:15", "from": "UTC", "to": "Asia/Tokyo"}, "2026-07-29T08:15:00+09:00", false},
		{"what is no time is an error that says what to write", "convert", args{"time": "noon", "to": "UTC"}, "2026-07-28T09:30", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := c.Call(t.Context(), tc.tool, tc.args)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(r.Structured) + r.Text(); r.IsError != tc.fails || !strings.Contains(got, tc.want) {
				t.Errorf("%s %v: error %v, got %s, want %q", tc.tool, tc.args, r.IsError, got, tc.want)
			}
		})
	}
}
