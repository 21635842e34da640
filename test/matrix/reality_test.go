package matrix

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// reality is what peers that the project did not write have done with each
// other, through the gateway.
type reality struct {
	mu     sync.Mutex                     // guards what follows
	did    map[string]map[string][]string // by client, then by server
	crowds map[string]int                 // calls with their own answer
}

func newReality() *reality {
	return &reality{did: map[string]map[string][]string{}, crowds: map[string]int{}}
}

// note adds what a client has done, by server.
func (r *reality) note(client string, did map[string][]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.did[client] == nil {
		r.did[client] = map[string][]string{}
	}
	for server, steps := range did {
		r.did[client][server] = append(r.did[client][server], steps...)
	}
}

func (r *reality) crowd(c crowd, answered int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crowds[c.name] = answered
}

// clients are all of them, in the order of the page.
func realClients() []string {
	var names []string
	for _, app := range applications() {
		names = append(names, app.name)
	}
	for _, g := range gophers() {
		names = append(names, g.name)
	}
	for _, i := range inspections() {
		names = append(names, i.name)
	}
	return names
}

// complete reports whether everybody has done something: a run of a part has no
// table.
func (r *reality) complete() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range realClients() {
		if r.did[name] == nil {
			return false
		}
	}
	return len(r.crowds) == len(crowds())
}

// realColumn is a column of the table: servers with which every client has done
// the same.
type realColumn struct {
	server realServer
	speaks []string
}

// page writes the part of docs/compatibility.md that tells of real peers.
func (r *reality) page(servers []realServer) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, `
%s

Written by the same run, from what happened: the program itself, with all these servers behind one gateway, and all these
clients at the same time. Each cell is what a client did with a server, every step with checked results. A step that fails
fails the test; one that a cell does not have was not tried there. Some were left out for time: tasks are run by two
clients, over stdio only servers that are started by command are used, and the Inspector is asked for little.

`, realHeading)
	columns := r.columns(servers)
	b.WriteString("| client | all at once |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s (%s) |", c.server.what, strings.Join(c.speaks, "; "))
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, name := range realClients() {
		fmt.Fprintf(&b, "| %s | %s |", name, cell(r.did[name]["together"]))
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", cell(r.did[name][c.server.name]))
		}
		b.WriteByte('\n')
	}
	b.WriteString(`
Over stdio a client starts a gateway of its own, with the servers that are started by command. Tasks are those of
2025-11-25; a client that does not know them calls the tool and gets its result.

What was left out because it cannot work:

- server-everything writes log messages to a session, not to a call, and over stdio nobody says to which call a message
  belongs. In a connection that several clients share it is told to a call that is alone in it, and to nobody otherwise;
  what server-everything logs over Streamable HTTP may come after the end of the call.
- server-everything asks for roots, and over stdio and HTTP+SSE for everything else, without saying for which call. Two
  calls that do so at the same time in one shared session wait for each other, and the later is told
  to try again, so the clients took turns with them. The setting isolation keeps clients apart; that was not run here.
- A server of the Go SDK 1.8.0 forgets a connection's subscriptions when another subscription of that connection ends. Over
  stdio all clients share one connection; over Streamable HTTP each subscription has its own.

`)
	b.WriteString("Many calls at once, each with progress and an answer that no other call has; none was lost, cut, doubled or given to another\ncaller:\n\n| client | calls | at the same time |\n|---|---|---|\n")
	for _, c := range crowds() {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", c.name, r.crowds[c.name], abreast)
	}
	return b.String()
}

func (r *reality) columns(servers []realServer) []realColumn {
	var columns []realColumn
	at := map[string]int{}
	for _, s := range servers {
		id := s.what
		for _, name := range realClients() {
			id += "|" + cell(r.did[name][s.name])
		}
		if i, known := at[id]; known {
			columns[i].speaks = append(columns[i].speaks, s.speaks)
			continue
		}
		at[id] = len(columns)
		columns = append(columns, realColumn{s, []string{s.speaks}})
	}
	return columns
}

func cell(steps []string) string {
	if len(steps) == 0 {
		return markAbsent
	}
	return strings.Join(steps, ", ")
}

// realHeading begins the part of the page that TestRealClientsUseRealServers
// writes; everything before it is the matrix's.
const realHeading = "## Peers that others wrote"

// compare writes that part of the page, or looks whether it says what happened.
func (r *reality) compare(t *testing.T, servers []realServer) {
	t.Helper()
	comparePage(t, "\n"+realHeading, r.page(servers))
}
