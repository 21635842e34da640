package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
	"github.com/dragoman-mcp/dragoman/test/bench/upstream"
)

// topology is a set of processes: one gateway and one bare proxy with their upstreams. They differ where the bare proxy cannot do
// what the gateway does: it then stands before an upstream that speaks the client's revision, or has the whole list.
type topology struct {
	name    string
	gateway upstream.Options
	bare    upstream.Options
	tools   int  // how many a list must have, through either
	pipe    bool // the gateway also has a child process that speaks over its pipes
	guarded bool // the gateway asks who calls, decides, counts and records: see package company
	reads   bool // and knows that the tool which is called changes nothing
}

func topologies() []topology {
	return []topology{
		{name: "dual"},
		{name: "guarded", guarded: true},
		{name: "guarded-reads", guarded: true, reads: true},
		{name: "legacy-only", gateway: upstream.Options{LegacyOnly: true}},
		{name: "modern-only", gateway: upstream.Options{ModernOnly: true}},
		{name: "list", gateway: upstream.Options{Tools: 1000}, bare: upstream.Options{Tools: 1000}, tools: 1000},
		{name: "list-50", gateway: upstream.Options{Tools: 20, Listeners: 50}, bare: upstream.Options{Tools: 1000}, tools: 1000},
	}
}

// metric is what a figure measures.
type metric string

const (
	cpu     metric = "CPU µs"       // of the process tree, per turn
	rate    metric = "turns/s"      // in a closed loop
	p50     metric = "p50 µs"       // of a turn
	p99     metric = "p99 µs"       // of a turn
	perHeld metric = "kB/stream"    // growth of resident memory
	memory  metric = "RSS MB"       // resident memory, 10^6 bytes
	toFirst metric = "ms to answer" // from exec to the first right answer
)

// goal is what is wanted of a figure: of its ratio to the bare proxy's, or, if absolute, of itself.
type goal struct {
	metric   metric
	bound    float64
	atLeast  bool // else at most
	absolute bool
}

func (g goal) String() string {
	sign, unit := "≤", "×"
	if g.atLeast {
		sign = "≥"
	}
	if g.absolute {
		unit = ""
	}
	return fmt.Sprintf("%s %g%s", sign, g.bound, unit)
}

func (g goal) met(value float64) bool {
	if g.atLeast {
		return value >= g.bound
	}
	return value <= g.bound
}

// scenario is one thing that is measured. A scenario without a kind is measured in its own way: see special.
type scenario struct {
	name     string
	about    string
	topology string
	kind     load.Kind
	revision string
	conns    int
	held     int // streams
	goals    []goal
}

// The goals are those of the issue that asked for the gateway; each is a ratio to the bare proxy in the same round.
func scenarios() []scenario {
	atMost := func(bound float64) []goal { return []goal{{metric: cpu, bound: bound}} }
	fast := append(atMost(1.0), goal{metric: rate, bound: 1.0, atLeast: true})
	return []scenario{
		{name: "start", about: "exec to first answer", topology: "dual", goals: []goal{{metric: toFirst, bound: 60, absolute: true}}},
		{name: "idle", about: "memory at rest", topology: "dual", goals: []goal{{metric: memory, bound: 25, absolute: true}}},
		{name: "c1", about: "small call, 2025-06-18, 1 connection", topology: "dual", kind: load.Echo, revision: load.Legacy, conns: 1},
		{name: "c16", about: "small call, 2025-06-18, 16", topology: "dual", kind: load.Echo, revision: load.Legacy, conns: 16, goals: fast},
		{name: "c64", about: "small call, 2025-06-18, 64", topology: "dual", kind: load.Echo, revision: load.Legacy, conns: 64, goals: atMost(1.0)},
		{name: "m16", about: "small call, 2026-07-28, 16", topology: "dual", kind: load.Echo, revision: load.Modern, conns: 16, goals: fast},
		{name: "m64", about: "small call, 2026-07-28, 64", topology: "dual", kind: load.Echo, revision: load.Modern, conns: 64, goals: atMost(1.0)},
		{name: "gr16", about: "everything on, a read, 2025-06-18, 16", topology: "guarded-reads", kind: load.Echo, revision: load.Legacy, conns: 16, goals: atMost(1.5)},
		{name: "gmr16", about: "the same, 2026-07-28, 16", topology: "guarded-reads", kind: load.Echo, revision: load.Modern, conns: 16, goals: atMost(1.5)},
		{name: "gmr64", about: "the same, 2026-07-28, 64", topology: "guarded-reads", kind: load.Echo, revision: load.Modern, conns: 64, goals: atMost(1.5)},
		{name: "g16", about: "everything on, a side effect, 2025-06-18, 16", topology: "guarded", kind: load.Echo, revision: load.Legacy, conns: 16, goals: atMost(1.5)},
		{name: "gm16", about: "the same, 2026-07-28, 16", topology: "guarded", kind: load.Echo, revision: load.Modern, conns: 16, goals: atMost(1.5)},
		{name: "gm64", about: "the same, 2026-07-28, 64", topology: "guarded", kind: load.Echo, revision: load.Modern, conns: 64, goals: atMost(1.5)},
		{name: "audit", about: "the same, 2026-07-28, 256, each call on disk twice", topology: "guarded", kind: load.Echo, revision: load.Modern, conns: 256,
			goals: []goal{{metric: rate, bound: 5000, atLeast: true, absolute: true}}},
		{name: "x16", about: "2026-07-28 client, 2025-06-18 server, 16", topology: "legacy-only", kind: load.Echo, revision: load.Modern, conns: 16, goals: atMost(1.3)},
		{name: "y16", about: "2025-06-18 client, 2026-07-28 server, 16", topology: "modern-only", kind: load.Echo, revision: load.Legacy, conns: 16, goals: atMost(1.3)},
		{name: "mb", about: "1 MiB result, 4", topology: "dual", kind: load.Big, revision: load.Legacy, conns: 4, goals: atMost(1.5)},
		{name: "session", about: "initialize, initialized, DELETE, 8", topology: "dual", kind: load.Session, revision: load.Legacy, conns: 8, goals: atMost(1.0)},
		{name: "list1000", about: "tools/list, 1 server of 1,000, 4", topology: "list", kind: load.List, revision: load.Legacy, conns: 4, goals: atMost(1.5)},
		{name: "list1000m", about: "the same, 2026-07-28, 4", topology: "list", kind: load.List, revision: load.Modern, conns: 4, goals: atMost(1.5)},
		{name: "list50x20", about: "tools/list, 50 servers of 20, 4", topology: "list-50", kind: load.List, revision: load.Legacy, conns: 4, goals: atMost(1.5)},
		{name: "held1000", about: "1,000 sessions with a stream", topology: "dual", held: 1000, goals: []goal{{metric: perHeld, bound: 0.5}}},
		{name: "held5000", about: "5,000 sessions with a stream", topology: "dual", held: 5000, goals: []goal{{metric: perHeld, bound: 0.5}}},
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// selected returns the scenarios of a comma-separated list, all of them for an empty one; leak is no measurement and left out.
func selected(list string) ([]scenario, error) {
	all := scenarios()
	if list == "" {
		return all, nil
	}
	wanted := strings.Split(list, ",")
	for _, name := range wanted {
		if name != leak && !slices.Contains(scenarioNames(), name) {
			return nil, fmt.Errorf("-scenarios: no scenario %q; there are %s and %s", name, strings.Join(scenarioNames(), ", "), leak)
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !slices.Contains(wanted, s.name) }), nil
}
