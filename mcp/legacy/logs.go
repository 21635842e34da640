package legacy

import (
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// What a server logs outside any call may be about anything that it has been asked
// for. So it is told only while it is certain whom it concerns: as long as a session
// with a server has worked for one principal and for nobody else, it goes to the
// sessions of that principal which have said that they want logs. Who listens for
// logs counts as somebody that the session works for. The gateway's own questions and
// lists, which are the same for all, count for nobody.

const logNotice = "notifications/message"

// users are the principals that a session with a server has worked for.
type users struct {
	any     bool
	first   string
	several bool
}

func (u *users) add(principal string) {
	u.several = u.several || u.any && u.first != principal
	u.any, u.first = true, principal
}

// usedBy notes that the session works for a principal.
func (h *hub) usedBy(principal string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users.add(principal)
}

// tellLog tells those who may hear of it what the server has logged outside any
// call. One that does not keep up loses it.
func (h *hub) tellLog(n mcp.Notification) {
	level, _ := n.Params.String("level")
	have := severity(level)
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.users
	for s := range h.subscribers {
		if s.logs >= 0 {
			all.add(s.principal)
		}
	}
	if all.several {
		return
	}
	for s := range h.subscribers {
		if s.logs >= 0 && have >= s.logs {
			s.put(n)
		}
	}
}

// mayLog reports whether a subscription to logs is one of our own other half, for a
// client with a session, and to a server that has any.
func (c *Client) mayLog(req *mcp.Request) bool {
	return req.Client != nil && !req.Client.Revision.Modern() && c.server.Capabilities.Get("logging") != nil
}

// tellLog passes a log message that is not linked to a call to the only call that
// the server works at, if it wants logs. With several there is no telling whose it is,
// and without any it is nobody's: then those hear of it who listen.
func (c *Client) tellLog(msg jsonrpc.Message) {
	if !c.inject(msg) {
		c.hub.tellLog(mcp.Notification{Method: msg.Method, Params: msg.Params})
	}
}

// inject gives a log message to the only call that the server works at; false when
// it is not one, or wants none.
func (c *Client) inject(msg jsonrpc.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *flight
	for f := range c.flights {
		if mcp.OfSession(f.req.Method) {
			continue
		}
		if found != nil {
			return false
		}
		found = f
	}
	if found == nil || found.req.LogLevel == "" || found.req.Notify == nil {
		return false
	}
	select {
	case found.injected <- &msg:
	default: // its caller is slow; logs may be lost
	}
	return true
}

// late handles what a call was given that had ended meanwhile: a server may log right
// behind its answer.
func (c *Client) late(msg jsonrpc.Message) {
	switch {
	case msg.IsRequest():
		c.refuse(msg, "its call has ended")
	case msg.Method == logNotice:
		c.hub.tellLog(mcp.Notification{Method: msg.Method, Params: msg.Params})
	}
}

// logFilter writes the params of a subscription to what servers log outside any call.
func logFilter(level string) jsonrpc.Object {
	wanted := jsonrpc.Object{}.Append(nil, jsonrpc.Edit{Name: mcp.FilterLogLevel, Value: jsonrpc.AppendString(nil, level)})
	return jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: wanted})
}

// followLogs lets the session hear of what servers log outside any call, if its
// client has said from which level on. s.mu is held.
func (s *Session) followLogs() {
	s.watch.deafen()
	if s.wantsLogs && s.stream != nil && !s.over() {
		s.watch.mute = s.server.news.join(s, s.level)
	}
}

// deafen ends that.
func (w *watch) deafen() {
	if w.mute != nil {
		w.mute()
		w.mute = nil
	}
}
