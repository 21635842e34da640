package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

const preface = `# Conformance

<!-- Written by make conformance. Do not edit: change test/conformance instead. -->

Scores of the official conformance suite, from the last run of ` + "`make conformance`" + `. The suite's requirements for a
revision are a fixed set of scenarios; a scenario has several checks. "Failed" counts checks of scenarios that the suite
runs but does not count too, most of them of the Tasks extension, which the server behind does not have.

The server is the official Go SDK's conformance server. *stateful* is its mode for the revisions with sessions,
*stateless* the one for 2026-07-28. *both* is the two on one URL, and *modern* the same URL without the older revisions;
there, four tools of the server that can only ask the client something within a session ask in the way of 2026-07-28 as
well. *stdio* is the server as a child process, which speaks every revision; *stdio-old* is the same with the gateway told
to use a revision with sessions.
`

// table writes the scores for people.
func table(rows []row) []byte {
	var out bytes.Buffer
	out.WriteString(preface)
	section(&out, "The server by itself", rows, func(r row) bool { return !r.gateway && r.client == "" })
	section(&out, "Through the gateway", rows, func(r row) bool { return r.gateway && r.client == "" })
	out.WriteString("\n## The gateway as a client\n\nHere the suite plays the server, and the official Go client calls it, by itself and through the gateway.\n" +
		"Scenarios of authorization are left out: they test an OAuth client, which the gateway does not have yet.\n\n")
	out.WriteString("| client | requirements | scenarios | checks passed | failed | failing scenarios |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		if r.client != "" {
			fmt.Fprintf(&out, "| %s | %s | %d | %d | %d | %s |\n", clientName(r), r.revision, len(r.required), r.passed, r.failed, names(failing(r.required)))
		}
	}
	reasons(&out, rows)
	return out.Bytes()
}

func section(out *bytes.Buffer, title string, rows []row, belongs func(row) bool) {
	fmt.Fprintf(out, "\n## %s\n\n| server | suite | requirements | scenarios | checks passed | failed | failing scenarios that count |\n|---|---|---|---|---|---|---|\n", title)
	for _, r := range rows {
		if belongs(r) {
			fmt.Fprintf(out, "| %s | %s | %s | %d | %d | %d | %s |\n", r.target, suiteName(r.suite), r.revision, len(r.required), r.passed, r.failed, names(failing(r.required)))
		}
	}
}

func suiteName(suite string) string {
	if suite == peers.ConformanceClassic {
		return "0.1.16"
	}
	return "0.2.0-alpha.12"
}

func clientName(r row) string {
	if r.gateway {
		return "through the gateway"
	}
	return "by itself"
}

func names(scenarios []string) string {
	if len(scenarios) == 0 {
		return "none"
	}
	return strings.Join(scenarios, ", ")
}

// reasons explains the scenarios that may fail.
func reasons(out *bytes.Buffer, rows []row) {
	title := "\n## Why those that fail may fail\n\n"
	for _, r := range rows {
		for _, name := range slices.Sorted(maps.Keys(r.allowed)) {
			out.WriteString(title)
			title = ""
			fmt.Fprintf(out, "- %s, %s: %s\n", r.run, name, r.allowed[name])
		}
	}
}
