package main

import (
	"fmt"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// A run is one pass of the suite over one target, with what is known of it beforehand.
type run struct {
	gateway  bool   // the target is the gateway
	target   string // name of a server (see startTargets); for the gateway, the server behind it
	client   string // set when the suite plays the server: what leg is tested
	suite    string // peers.Conformance or peers.ConformanceClassic
	revision string // the requirements that are run
	least    int    // fewest checks that must pass; 0 when only scenarios count. The suite can skip a check and pass
	// allowed are the scenarios that may fail, with the reason. One of them that passes is a mistake in this list.
	allowed map[string]string
}

func (r run) String() string {
	via := "direct to"
	if r.gateway {
		via = "through the gateway to"
	}
	if r.client != "" {
		return fmt.Sprintf("%s as client, %s the suite, %s", r.client, via, r.revision)
	}
	return fmt.Sprintf("%s %s %s, %s", r.requirements(), via, r.target, r.suite)
}

// requirements is what the suite is asked for. The older suite has one set, that of the newest revision it knows.
func (r run) requirements() string {
	if r.suite == peers.ConformanceClassic {
		return "0.1.16 defaults"
	}
	return r.revision
}

const (
	lastLegacy = "2025-11-25"
	modern     = "2026-07-28"
)

// The servers that the suite meets, directly or behind the gateway.
const (
	stateful  = "stateful"  // the official server, revisions with sessions only
	stateless = "stateless" // the official server, 2026-07-28
	bothEras  = "both"      // the two above on one URL (package everything)
	onlyNew   = "modern"    // the same URL without the revisions with sessions
	overStdio = "stdio"     // the official server as a child process, which speaks all revisions; the gateway finds the newest
	oldStdio  = "stdio-old" // the same, with the gateway told to use a revision with sessions
)

// classicChecks is every check of the older suite's defaults.
const classicChecks = 40

// plan is everything that is run, the official server by itself first. The scores of those runs are known from its
// makers' own continuous integration, so they tell whether the setting is right.
var plan = []run{
	{target: stateful, suite: peers.ConformanceClassic, revision: lastLegacy, least: classicChecks},
	{target: stateful, suite: peers.Conformance, revision: lastLegacy},
	{target: stateless, suite: peers.Conformance, revision: modern},
	{target: bothEras, suite: peers.Conformance, revision: lastLegacy},
	{target: bothEras, suite: peers.Conformance, revision: modern},

	{gateway: true, target: bothEras, suite: peers.ConformanceClassic, revision: lastLegacy, least: classicChecks},
	{gateway: true, target: bothEras, suite: peers.Conformance, revision: lastLegacy},
	{gateway: true, target: bothEras, suite: peers.Conformance, revision: modern},
	{gateway: true, target: stateful, suite: peers.ConformanceClassic, revision: lastLegacy, least: classicChecks},
	{gateway: true, target: stateful, suite: peers.Conformance, revision: lastLegacy},
	{gateway: true, target: stateful, suite: peers.Conformance, revision: modern, allowed: map[string]string{
		"input-required-result-basic-elicitation": "the scenario wants the key that the server's tool gives its question; in a session a server's question has an id and no key",
		"input-required-result-multi-round":       "in a session the Go SDK asks only the questions of the first round and gives those of the next as its result",
	}},
	{gateway: true, target: onlyNew, suite: peers.Conformance, revision: lastLegacy},
	{gateway: true, target: onlyNew, suite: peers.Conformance, revision: modern},
	{gateway: true, target: overStdio, suite: peers.Conformance, revision: modern},
	{gateway: true, target: oldStdio, suite: peers.Conformance, revision: lastLegacy},

	{client: peers.EverythingClient, suite: peers.Conformance, revision: lastLegacy},
	{client: peers.EverythingClient, suite: peers.Conformance, revision: modern},
	{gateway: true, client: peers.EverythingClient, suite: peers.Conformance, revision: lastLegacy},
	{gateway: true, client: peers.EverythingClient, suite: peers.Conformance, revision: modern},
}

// clientScenarios are what the suite plays as a server, for each revision. Left out are those of authorization: they
// test an OAuth client, and the gateway's own is not there yet; a client's token is never passed on to a server.
var clientScenarios = map[string][]string{
	lastLegacy: {"initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry", "json-schema-2020-12-preservation"},
	modern: {"tools_call", "request-metadata", "http-standard-headers", "http-custom-headers", "http-invalid-tool-headers",
		"sep-2322-client-request-state", "json-schema-ref-no-deref", "json-schema-2020-12-preservation"},
}
