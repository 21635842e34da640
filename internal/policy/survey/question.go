package survey

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// otherName stands for whatever of its kind no policy names.
const otherName = "any-other"

// person is somebody who could call.
type person struct {
	mcp.Principal
	label    string // for people
	invented bool   // by a name that somebody may have, and that stands for no user in a policy
}

// label names somebody for people.
func label(p mcp.Principal) string {
	var in []string
	for _, role := range p.Roles {
		in = append(in, "role "+role)
	}
	for _, group := range p.Groups {
		in = append(in, "group "+group)
	}
	belongs := strings.Join(in, ", ")
	switch {
	case p.ID == "":
		return "nobody in particular"
	case p.ID == someone && belongs == "":
		return "anybody without roles"
	case p.ID == someone:
		return belongs
	case belongs == "":
		return p.ID
	}
	return p.ID + " (" + belongs + ")"
}

// thing is something that could be done.
type thing struct {
	action policy.Action
	of     policy.Resource
}

// String is the thing for people.
func (t thing) String() string {
	name := t.of.Name
	if name == otherName {
		name = "*"
	}
	switch {
	case t.of.Kind == "Server":
		return string(t.action) + " " + t.of.Server
	case t.of.Server == "":
		return string(t.action) + " " + string(t.of.Kind) + "/" + name
	}
	return string(t.action) + " " + t.of.Server + "/" + name
}

// question is what both sides are asked.
type question struct {
	who       person
	what      thing
	arguments map[string]json.RawMessage // by name, with dots where it leads into objects
	given     jsonrpc.Object             // those of a real call
	address   netip.Addr
	at        time.Time
	usual     time.Time // when a call is made about which no policy says a time
	revision  mcp.Revision
	seen      []flow.Source // of which the conversation has read
	real      bool
}

// object is the arguments as they are sent.
func (q *question) object() jsonrpc.Object {
	if q.real || len(q.arguments) == 0 {
		return q.given
	}
	root := make(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(q.arguments)) {
		place(root, strings.Split(path, "."), q.arguments[path])
	}
	text, err := json.Marshal(root)
	if err != nil {
		return jsonrpc.Object{}
	}
	o, err := jsonrpc.ParseObject(text, jsonrpc.Limits{})
	if err != nil {
		return jsonrpc.Object{}
	}
	return o
}

// place puts a value where a path leads. Where another value stands in the way, that one stays.
func place(into map[string]any, path []string, value json.RawMessage) {
	for len(path) > 1 {
		inner, ok := into[path[0]].(map[string]any)
		if _, taken := into[path[0]]; taken && !ok {
			return
		}
		if !ok {
			inner = make(map[string]any)
			into[path[0]] = inner
		}
		into, path = inner, path[1:]
	}
	if _, taken := into[path[0]]; !taken {
		into[path[0]] = value
	}
}

// length is how much there is to read of the question.
func (q *question) length() int {
	n := len(q.who.label) + len(q.who.Roles) + len(q.who.Groups) + len(q.what.of.Name)
	if q.who.invented {
		n += 100 // somebody whom one knows says more
	}
	if q.what.of.Name == otherName {
		n += 20 // as does a name that somebody knows
	}
	if q.what.action != "call_tool" {
		n += 100 // and what most callers do
	}
	for name, value := range q.arguments {
		n += len(name) + len(value)
	}
	return n
}
