// Package time is the built-in server that knows what time it is, anywhere, and
// how times convert. It knows nothing of the gateway, and keeps no state.
package time

import (
	"context"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a machine without zone files must not know fewer zones

	"github.com/dragoman-mcp/dragoman/server"
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

// New makes the server. It has no settings.
func New(env *server.Env) (*server.Server, error) {
	if err := env.Decode(&struct{}{}); err != nil {
		return nil, err
	}
	s := server.New(env, server.About{
		Name: "time", Title: "Time",
		Instructions: "The current time in any time zone, and conversion between zones.",
	})
	c := clock{now: env.Now}
	if c.now == nil {
		c.now = time.Now
	}
	server.AddTool(s, server.Tool{
		Name: "now", Title: "Current time", Description: "Tells the current date and time in a time zone.",
		Hints: server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.No, OpenWorld: server.No},
	}, c.tell)
	server.AddTool(s, server.Tool{
		Name: "convert", Title: "Convert a time", Description: "Converts a time from one time zone to another.",
		Hints: server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No},
	}, c.convert)
	return s, nil
}

type clock struct{ now func() time.Time }

func (c clock) tell(_ context.Context, call *server.Call, in nowInput) (moment, error) {
	zone, err := load(in.TZ)
	if err != nil {
		return moment{}, err
	}
	return answer(call, c.now().In(zone))
}

func (c clock) convert(_ context.Context, call *server.Call, in convertInput) (moment, error) {
	from, err := load(in.From)
	if err != nil {
		return moment{}, err
	}
	to, err := load(in.To)
	if err != nil {
		return moment{}, err
	}
	t, err := parse(in.Time, from, c.now())
	if err != nil {
		return moment{}, err
	}
	return answer(call, t.In(to))
}

func answer(call *server.Call, t time.Time) (moment, error) {
	m := describe(t)
	call.Text(m.Readable)
	return m, nil
}

// load returns a zone by its IANA name. "Local" is refused: it would tell where
// the gateway runs, not what the caller asked for.
func load(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || strings.EqualFold(name, "local") {
		return nil, server.Errorf("use an IANA name such as Europe/Amsterdam or America/New_York", "there is no time zone %q", name)
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
	return time.Time{}, server.Errorf("write it like 2026-07-28T09:30:00Z, 2026-07-28T09:30 or 09:30", "cannot read the time %q", text)
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
