package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// The marks of the table.
const (
	markWorks  = "✓"
	markAbsent = "–"
	markBroken = "✗"
)

// findings is what works, for every pair and feature.
type findings struct {
	mu    sync.Mutex // guards marks
	marks map[[2]kind]map[string]string
}

func newFindings() *findings { return &findings{marks: map[[2]kind]map[string]string{}} }

func (f *findings) note(client, server kind, head string, works, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pair := [2]kind{client, server}
	if f.marks[pair] == nil {
		f.marks[pair] = map[string]string{}
	}
	mark := markAbsent
	switch {
	case !ok:
		mark = markBroken
	case works:
		mark = markWorks
	}
	f.marks[pair][head] = mark
}

// complete reports whether every pair has done everything: a run of a part has
// no table.
func (f *findings) complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.marks) != len(kinds(false))*len(kinds(true)) {
		return false
	}
	for _, marks := range f.marks {
		if len(marks) != len(features()) {
			return false
		}
	}
	return true
}

// compare writes its part of the page, or looks whether it says what was found.
func (f *findings) compare(t *testing.T) {
	t.Helper()
	text := f.page()
	if strings.Contains(text, markBroken) {
		t.Error("something that two peers can do together does not work: see the failures above")
		return
	}
	comparePage(t, "", text)
}

// comparePage writes the part of docs/compatibility.md that begins with a
// heading, or looks whether it says what was found. The page has two parts: that
// of the matrix, which begins the page, and that of real peers, which ends it.
func comparePage(t *testing.T, heading, text string) {
	t.Helper()
	root, err := peers.Root()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "docs", "compatibility.md")
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, second, found := strings.Cut(string(all), "\n"+realHeading)
	if found {
		second = "\n" + realHeading + second
	}
	was, now := first, text+second
	if heading != "" {
		was, now = second, first+text
	}
	if *update {
		if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(was, text); diff != "" {
		t.Errorf("%s does not say what was found (-says +found); write it with go test ./test/matrix -update:\n%s", file, diff)
	}
}

// transportNames are what people call the transports.
func transportNames() map[string]string {
	return map[string]string{
		"stdio": "stdio", "http": "Streamable HTTP", "sse": "HTTP+SSE", "websocket": "WebSocket", "in-process": "built in",
	}
}

// page writes docs/compatibility.md.
func (f *findings) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What works with what

<!-- Written by the test in test/matrix: go test ./test/matrix -update -->

Every kind of client has used every kind of server through one gateway, %d clients with %d servers: %d pairs, %d checks
each. The peers are scripts of the project's own that share no code with it; they add members and notifications that no
revision knows, numbers beyond 2^53 and text that is easily broken to all that they send, and compare all that they get.

%[5]s works. %[6]s does not exist between the two revisions, and the test has made sure that the caller is told so and that
nothing waits. There is no third mark: the test fails when something that both peers can do does not work. Clients and
servers that others wrote are at the end: [peers that others wrote](#peers-that-others-wrote).

## Who speaks what over what

`, len(kinds(false)), len(kinds(true)), len(f.marks), len(features()), markWorks, markAbsent)
	f.transports(&b)
	b.WriteString("\n## What is checked\n\n")
	for _, x := range features() {
		fmt.Fprintf(&b, "- **%s**: %s.", x.head, x.what)
		if x.gap != "" {
			fmt.Fprintf(&b, " %s: %s.", markAbsent, x.gap)
		}
		b.WriteByte('\n')
	}
	for _, group := range f.clientGroups() {
		f.table(&b, group)
	}
	return b.String()
}

func (f *findings) transports(b *strings.Builder) {
	all := []string{"stdio", "http", "sse", "websocket", "in-process"}
	b.WriteString("| revision |")
	for _, t := range all {
		fmt.Fprintf(b, " %s |", transportNames()[t])
	}
	b.WriteString("\n|---|---|---|---|---|---|\n")
	for _, rev := range revisions() {
		fmt.Fprintf(b, "| %s |", rev)
		for _, t := range all {
			who := markAbsent
			switch {
			case slices.Contains(transportsOf(rev, false), t):
				who = "clients, servers"
			case slices.Contains(transportsOf(rev, true), t):
				who = "servers"
			}
			fmt.Fprintf(b, " %s |", who)
		}
		b.WriteByte('\n')
	}
	b.WriteString(`
Streamable HTTP begins with 2025-03-26. HTTP+SSE is that of 2024-11-05; servers and clients of the later revisions with
sessions kept it, and 2026-07-28, which has no sessions, does not have it. WebSocket is in no revision: one socket is one
channel with the rules of stdio, subprotocol mcp. Servers that are built in speak the newest revision.
`)
}

// group is kinds of one revision between which nothing differs.
type group []kind

func (g group) String() string {
	var transports []string
	for _, k := range g {
		transports = append(transports, transportNames()[k.transport])
	}
	return g[0].rev + " over " + strings.Join(transports, ", ")
}

// gather joins kinds of one revision whose print is the same.
func gather(all []kind, print func(kind) string) []group {
	var groups []group
	prints := map[string]int{}
	for _, k := range all {
		id := k.rev + print(k)
		at, known := prints[id]
		if !known {
			at = len(groups)
			prints[id] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], k)
	}
	return groups
}

func (f *findings) clientGroups() []group {
	return gather(kinds(false), func(client kind) string {
		var b strings.Builder
		for _, server := range kinds(true) {
			b.WriteString(f.column(client, server))
		}
		return b.String()
	})
}

// column is what works between a client and a server, one mark for each feature.
func (f *findings) column(client, server kind) string {
	var b strings.Builder
	for _, x := range features() {
		b.WriteString(f.marks[[2]kind{client, server}][x.head])
	}
	return b.String()
}

// table writes one group of clients against all groups of servers.
func (f *findings) table(b *strings.Builder, clients group) {
	servers := gather(kinds(true), func(server kind) string { return f.column(clients[0], server) })
	fmt.Fprintf(b, "\n## Clients of %s\n\n| with servers of |", clients)
	for _, s := range servers {
		label := s[0].rev
		if len(s) < len(transportsOf(label, true)) {
			label = s.String()
		}
		fmt.Fprintf(b, " %s |", label)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(servers)) + "\n")
	for _, x := range features() {
		fmt.Fprintf(b, "| %s |", x.head)
		for _, s := range servers {
			fmt.Fprintf(b, " %s |", f.marks[[2]kind{clients[0], s[0]}][x.head])
		}
		b.WriteByte('\n')
	}
}
