package audit

import (
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// care is how a call is recorded.
type care int

const (
	none        care = iota // not at all
	outcomeOnly             // when it has ended; it is answered even when that fails
	full                    // before and after; it is neither made nor answered when that fails
)

// rules say which calls are recorded how.
type rules struct {
	reads, lists care
	tools        []toolPattern // that change nothing
}

// toolPattern names tools by how the names of server and tool begin, or are.
type toolPattern struct {
	server, name             string
	anyServerEnd, anyNameEnd bool
}

func newRules(c config.Audit) rules {
	r := rules{reads: outcomeOnly, lists: none}
	switch c.Reads {
	case "off":
		r.reads = none
	case "strict":
		r.reads, r.lists = full, full
	}
	for _, text := range c.ReadTools {
		var p toolPattern
		p.server, p.name, _ = strings.Cut(text, ".")
		p.server, p.anyServerEnd = strings.CutSuffix(p.server, "*")
		p.name, p.anyNameEnd = strings.CutSuffix(p.name, "*")
		r.tools = append(r.tools, p)
	}
	return r
}

// of tells how a call is recorded. A method that is not known here may do
// anything.
func (r rules) of(server string, req *mcp.Request) care {
	if req.Abandon {
		return outcomeOnly // giving up must not depend on a disk
	}
	switch method, name := req.Method, req.Name; method {
	case "tools/call":
		for _, p := range r.tools {
			if p.fits(server, name) {
				return r.reads
			}
		}
	case "resources/read", "prompts/get", "completion/complete", "tasks/get", "tasks/result", "subscriptions/listen",
		"skills/get", "resources/directory/read", "resources/subscribe", "resources/unsubscribe":
		return r.reads
	case "tools/list", "prompts/list", "resources/list", "resources/templates/list", "skills/list", "tasks/list",
		"server/discover", "initialize", "ping", "logging/setLevel":
		return r.lists
	}
	return full
}

func (p toolPattern) fits(server, name string) bool {
	return begins(server, p.server, p.anyServerEnd) && begins(name, p.name, p.anyNameEnd)
}

func begins(text, with string, more bool) bool {
	return text == with || more && strings.HasPrefix(text, with)
}
