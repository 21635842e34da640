package survey

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/policy"
)

// maxNamed bounds who and what a group names; of more only the number is known.
const maxNamed = 100

// Group is questions that are answered differently for the same reasons.
type Group struct {
	// Permits says that the second configuration permits what the first refuses; else it is the other way round.
	Permits bool `json:"permits"`
	// Was and Would are the rules that decided in the first and in the second.
	Was   string `json:"was"`
	Would string `json:"would"`
	// Questions is how many, Calls how many of them were calls that were really made.
	Questions int `json:"questions"`
	Calls     int `json:"calls"`
	// Who calls and What is done to what, at most maxNamed each.
	Who  []string `json:"who"`
	What []string `json:"what"`
	// Example is the shortest of the questions, a real call if there is one, with what makes no difference left out.
	Example Example `json:"example"`

	shortest *question
}

// Example is one question for people.
type Example struct {
	Principal string          `json:"principal"`
	Roles     []string        `json:"roles,omitempty"`
	Groups    []string        `json:"groups,omitempty"`
	Action    policy.Action   `json:"action"`
	Kind      policy.Kind     `json:"kind"`
	Server    string          `json:"server,omitempty"`
	Name      string          `json:"name,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Address   string          `json:"address,omitempty"`
	Time      *time.Time      `json:"time,omitempty"`
	// Seen is of what the conversation has read, as server or server/name.
	Seen []string `json:"seen,omitempty"`
	// Reason is what the second configuration says of its answer.
	Reason string `json:"reason,omitempty"`
}

// groupKey tells groups apart.
type groupKey struct {
	permits    bool
	was, would string
}

func (g *Group) add(q *question) {
	g.Questions++
	if q.real {
		g.Calls++
	}
	g.Who, g.What = named(g.Who, q.who.label), named(g.What, q.what.String())
	if g.shortest == nil || q.real && !g.shortest.real || q.real == g.shortest.real && q.length() < g.shortest.length() {
		g.shortest = q
	}
}

// named adds a name in its place.
func named(all []string, name string) []string {
	at, there := slices.BinarySearch(all, name)
	if there || len(all) >= maxNamed {
		return all
	}
	return slices.Insert(all, at, name)
}

// shorten makes the example of a group: of the shortest question is left out what makes no difference.
func (c *comparison) shorten(key groupKey, g *Group) {
	q := *g.shortest
	q.arguments = maps.Clone(q.arguments)
	same := func() bool {
		was, now := c.first.decide(c.ctx, &q, c.second, false), c.second.decide(c.ctx, &q, c.first, false)
		return was.Allow != now.Allow && groupKey{now.Allow, was.Rule, now.Rule} == key
	}
	if !q.real {
		for _, name := range slices.Sorted(maps.Keys(q.arguments)) {
			value := q.arguments[name]
			if delete(q.arguments, name); !same() {
				q.arguments[name] = value
			}
		}
	}
	address, at, timed := q.address, q.at, false
	if q.address = (netip.Addr{}); !same() {
		q.address = address
	}
	if q.at = q.usual; !same() {
		q.at, timed = at, true
	}
	seen := q.seen
	if q.seen = nil; !same() {
		q.seen = seen
	}
	e := Example{
		Principal: q.who.ID, Roles: q.who.Roles, Groups: q.who.Groups, Action: q.what.action, Kind: q.what.of.Kind,
		Server: q.what.of.Server, Name: q.what.of.Name,
	}
	if len(q.arguments) > 0 || q.real {
		if text := q.object().Append(nil); string(text) != "{}" && len(text) > 0 {
			e.Arguments = text
		}
	}
	if q.address.IsValid() {
		e.Address = q.address.String()
	}
	for _, source := range q.seen {
		e.Seen = append(e.Seen, strings.TrimSuffix(source.Server+"/"+source.Name, "/"))
	}
	if timed {
		e.Time = &at
	}
	if d := c.second.decide(c.ctx, &q, c.first, true); len(d.Reasons) > 0 {
		e.Reason = d.Reasons[0]
	}
	g.Example = e
}
