// Package time is the built-in server that knows what time it is, anywhere, and
// how times convert. It knows nothing of the gateway, and keeps no state.
package time

import (
	"context"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a machine without zone files must not know fewer zones

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Input of the tool now.
type nowInput struct {
	TZ string `json:"tz,omitempty" jsonschema:"IANA time zone such as Europe/Amsterdam; UTC when left out"`
}

// Input of the tool convert.
type convertInput struct {
	Time string `json:"time" jsonschema:"RFC 3339 time such as 2026-07-28T09:30:00Z, or a local time such as 2026-07-28T09:30:00 or 09:30 in the zone from"`
	From string `json:"from,omitempty" jsonschema:"IANA time zone of a time without an offset; UTC when left out"`
	To   string `json:"to" jsonschema:"IANA time zone to convert to"`
}

// moment is one time as both tools tell it.
type moment struct {
	Time     string `json:"time" jsonschema:"RFC 3339"`
	TZ       string `json:"tz" jsonschema:"IANA time zone"`
	Offset   string `json:"utc_offset" jsonschema:"difference to UTC, such as +02:00"`
	Weekday  string `json:"weekday"`
	Unix     int64  `json:"unix" jsonschema:"seconds since 1970-01-01T00:00:00Z"`
	DST      bool   `json:"dst" jsonschema:"whether daylight saving time is in force"`
	ISOWeek  string `json:"iso_week" jsonschema:"ISO 8601 week such as 2026-W31"`
	Readable string `json:"-"`
}

// New returns the server. now is the clock; time.Now in production.
func New(version string, now func() time.Time) *sdk.Server {
	s := sdk.NewServer(&sdk.Implementation{Name: "time", Title: "Time", Version: version}, &sdk.ServerOptions{
		Capabilities: &sdk.ServerCapabilities{},
		Instructions: "The current time in any time zone, and conversion between zones.",
	})
	closed := false
	readOnly := func(title string, idempotent bool) *sdk.ToolAnnotations {
		return &sdk.ToolAnnotations{Title: title, ReadOnlyHint: true, IdempotentHint: idempotent, OpenWorldHint: &closed, DestructiveHint: &closed}
	}
	sdk.AddTool(s, &sdk.Tool{
		Name: "now", Title: "Current time", Description: "Tells the current date and time in a time zone.",
		Annotations: readOnly("Current time", false),
	}, func(_ context.Context, _ *sdk.CallToolRequest, in nowInput) (*sdk.CallToolResult, moment, error) {
		zone, err := load(in.TZ)
		if err != nil {
			return nil, moment{}, err
		}
		return answer(describe(now().In(zone)))
	})
	sdk.AddTool(s, &sdk.Tool{
		Name: "convert", Title: "Convert a time", Description: "Converts a time from one time zone to another.",
		Annotations: readOnly("Convert a time", true),
	}, func(_ context.Context, _ *sdk.CallToolRequest, in convertInput) (*sdk.CallToolResult, moment, error) {
		from, err := load(in.From)
		if err != nil {
			return nil, moment{}, err
		}
		to, err := load(in.To)
		if err != nil {
			return nil, moment{}, err
		}
		t, err := parse(in.Time, from, now())
		if err != nil {
			return nil, moment{}, err
		}
		return answer(describe(t.In(to)))
	})
	return s
}

func answer(m moment) (*sdk.CallToolResult, moment, error) {
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: m.Readable}}}, m, nil
}

// load returns a zone by its IANA name. "Local" is refused: it would tell where
// the gateway runs, not what the caller asked for.
func load(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || strings.EqualFold(name, "local") {
		return nil, fmt.Errorf("there is no time zone %q; use an IANA name such as Europe/Amsterdam or America/New_York", name)
	}
	return zone, nil
}

// parse reads a time with an offset, or a local one in zone; a time of day
// alone is taken as today's.
func parse(text string, zone *time.Location, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			y, m, d := now.In(zone).Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, zone), nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot read the time %q; write it like 2026-07-28T09:30:00Z, 2026-07-28T09:30 or 09:30", text)
}

func describe(t time.Time) moment {
	year, week := t.ISOWeek()
	return moment{
		Time: t.Format(time.RFC3339), TZ: t.Location().String(), Offset: t.Format("-07:00"),
		Weekday: t.Weekday().String(), Unix: t.Unix(), DST: t.IsDST(),
		ISOWeek:  fmt.Sprintf("%d-W%02d", year, week),
		Readable: t.Format("Monday 2 January 2006 15:04:05 MST (-07:00)") + ", " + t.Location().String(),
	}
}
