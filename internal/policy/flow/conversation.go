package flow

import (
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxClientName is the longest name of a client, in bytes, that tells it from others; who has a longer one counts as a
// client without a name.
const maxClientName = 128

// by says which calls are of one conversation.
type by int

const (
	byClient by = iota
	bySession
	byPrincipal
)

func readBy(c config.Conversation) by {
	switch c.By {
	case "session":
		return bySession
	case "principal":
		return byPrincipal
	}
	return byClient
}

// Conversation is who goes on with what was read: a principal, and of its clients or sessions one.
type Conversation struct {
	principal string
	own       scope // zero when nothing is known but the principal
}

// scope is a part of what a principal does.
type scope struct {
	session bool // id is that of a session; else it is what a client calls itself
	id      string
}

// Of says to which conversation a call belongs. What a client calls itself is written by the application and not by the
// model in it. It is still only what it says: whoever says nothing has read what any client of the principal has, and
// what it reads itself counts for all of them.
func (m *Memory) Of(p mcp.Principal, c *mcp.Client) Conversation {
	out := Conversation{principal: p.ID}
	switch {
	case c == nil || m.by == byPrincipal:
	case m.by == bySession && c.Session != "":
		out.own = scope{session: true, id: c.Session}
	default:
		name, _ := jsonrpc.Unquote(jsonrpc.Lookup(c.Info, "name"))
		if len(name) <= maxClientName {
			out.own.id = name
		}
	}
	return out
}
