// Package flow keeps what others have written from driving calls: it remembers
// of which servers a conversation has read, says which calls that stands in the
// way of, and asks the user about one call where the rule leaves that to them.
// Whether the model obeyed what it read does not matter, and what a server says
// of itself does not count: a rule names servers and tools by the configuration.
//
// It does not know who may do what without all that, nor how a call travels,
// nor what its content means: it looks at no word of it.
package flow

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
)

// RulePrefix begins the names of flows where decisions are named by what made them.
const RulePrefix = "flow:"

// Source is where content came from. Without a Name it is the server as a whole: anything of it may have been read.
type Source struct {
	Server string
	// Name is the server's own name of the tool or prompt, or the URI.
	Name string
}

// Verdict is what the flows say of a call.
type Verdict struct {
	// Rule is the flow that stands in its way, by its name with RulePrefix; empty when none does.
	Rule string
	// Ask says that the user may let this one call through.
	Ask bool
	// Read is what was read of which the flow is about.
	Read []Source
}

// Rules are the flows of a configuration. They never change; the zero value has none.
type Rules struct{ all []rule }

type rule struct {
	name             string
	from, to, except []entry
	ask              bool
}

// entry is a pattern over servers, and one over what they have.
type entry struct{ server, name []string }

// Compile reads the flows of a configuration, which was checked.
func Compile(cfg *config.Config) Rules {
	var out Rules
	for i := range cfg.Access.Flows {
		f := &cfg.Access.Flows[i]
		read := func(list []string) []entry { return entries(list, cmp.Or(cfg.Names.Separator, "__")) }
		out.all = append(out.all, rule{
			name: RulePrefix + f.Title(i), from: read(f.From), to: read(f.To), except: read(f.Except), ask: f.Do != "refuse",
		})
	}
	return out
}

func entries(list []string, separator string) []entry {
	var out []entry
	for _, text := range list {
		server, name, whole := text, "*", true
		if s, n, ok := strings.Cut(text, separator); ok {
			server, name, whole = s, n, n == "*"
		}
		e := entry{server: []string{server}, name: []string{name}}
		if whole {
			e.name = nil
		}
		out = append(out, e)
	}
	return out
}

// touches reports whether the entry can be about s; of a server as a whole any entry can that is about the server.
func (e *entry) touches(s Source) bool {
	return pattern.Match(e.server, s.Server) && (e.name == nil || s.Name == "" || pattern.Match(e.name, s.Name))
}

// covers reports whether the entry is about all that s can be.
func (e *entry) covers(s Source) bool {
	return pattern.Match(e.server, s.Server) && (e.name == nil || s.Name != "" && pattern.Match(e.name, s.Name))
}

// Any reports whether there are flows.
func (r Rules) Any() bool { return len(r.all) > 0 }

// Reads reports whether some flow begins with content of s, so that it has to be remembered.
func (r Rules) Reads(s Source) bool {
	for i := range r.all {
		if about(r.all[i].from, s) {
			return true
		}
	}
	return false
}

func about(list []entry, s Source) bool {
	for i := range list {
		if list[i].touches(s) {
			return true
		}
	}
	return false
}

// Judge says which flow stands in the way of a call of to after read. One that refuses comes before one that asks, and
// otherwise the first.
func (r Rules) Judge(to Source, read []Source) Verdict {
	var asks Verdict
	if len(read) == 0 {
		return asks
	}
	for i := range r.all {
		one := &r.all[i]
		if asks.Rule != "" && one.ask || !about(one.to, to) ||
			slices.ContainsFunc(one.except, func(e entry) bool { return e.covers(to) }) {
			continue
		}
		var through []Source
		for _, s := range read {
			if about(one.from, s) {
				through = append(through, s)
			}
		}
		switch {
		case len(through) == 0:
		case one.ask:
			asks = Verdict{Rule: one.name, Ask: true, Read: through}
		default:
			return Verdict{Rule: one.name, Read: through}
		}
	}
	return asks
}

// Names lists the flows, in words that change when one does, for the version of what is in force.
func (r Rules) Names() []string {
	var out []string
	for i := range r.all {
		one := &r.all[i]
		text := one.name
		for _, list := range [][]entry{one.from, one.to, one.except} {
			text += "\x00"
			for _, e := range list {
				text += strings.Join(e.server, "") + "\x01" + strings.Join(e.name, "") + "\x02"
			}
		}
		if one.ask {
			text += "ask"
		}
		out = append(out, text)
	}
	return out
}

// defaultLasts is how long what was read counts when the configuration was made by hand.
const defaultLasts = 4 * time.Hour
