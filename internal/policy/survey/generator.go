package survey

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// generator makes questions.
type generator struct {
	*words
	random *rand.Rand
	now    time.Time
	names  []string // of arguments
	weighs []int    // indices of hints, those of policies that only one side has more often
}

// ofChanged is how often a policy that only one side has is asked about for each time of one that both have.
const ofChanged = 8

func newGenerator(first, second *side, o Options) *generator {
	g := &generator{words: gather(first, second, o.Calls), random: rand.New(rand.NewPCG(o.Seed, 0)), now: o.Now}
	g.names = slices.Sorted(maps.Keys(g.arguments))
	for i, h := range g.hints {
		times := 1
		if h.changed {
			times = ofChanged
		}
		g.weighs = append(g.weighs, slices.Repeat([]int{i}, times)...)
	}
	return g
}

// chance is true in percent of a hundred cases.
func (g *generator) chance(percent int) bool { return g.random.IntN(100) < percent }

func pick[T any](g *generator, all []T) T { return all[g.random.IntN(len(all))] }

// oneOf picks of what is there.
func oneOf[T any](g *generator, all, or []T) T {
	if len(all) > 0 {
		return pick(g, all)
	}
	return pick(g, or)
}

// hint picks a policy to ask about.
func (g *generator) hint() *policy.Hint { return &g.hints[pick(g, g.weighs)].Hint }

// pairs asks who and what once each, with whatever else; of more than n pairs some.
func (g *generator) pairs(n int, ask func(*question)) {
	all := len(g.people) * len(g.things)
	for i := range min(n, all) {
		at := i
		if all > n {
			at = g.random.IntN(all)
		}
		ask(g.question(g.people[at/len(g.things)], g.things[at%len(g.things)], g.hint()))
	}
}

// question is about who and what, in circumstances that a policy is likely to look at.
func (g *generator) question(who person, what thing, h *policy.Hint) *question {
	q := &question{who: who, what: what, arguments: make(map[string]json.RawMessage), usual: g.now, at: g.now, revision: mcp.Revision20260728}
	if q.who.Method == "" && g.chance(50) {
		q.who.Method = pick(g, []string{"jwt", "key", "mtls", "password"})
	}
	for _, name := range g.names {
		kind := g.arguments[name]
		from := h
		if _, mine := h.Arguments[name]; !mine || g.chance(10) {
			from = g.hint()
		} else {
			kind = h.Arguments[name]
		}
		if g.chance(90) {
			q.arguments[name] = g.value(kind, from)
		}
	}
	q.address = g.address(h)
	q.at = g.time(h)
	if g.chance(30) { // what the conversation has read
		if t := oneOf(g, h.Things, []policy.Resource{pick(g, g.things).of}); t.Server != "" {
			q.seen = append(q.seen, flow.Source{Server: t.Server, Name: t.Name})
		}
		if len(h.Texts) > 0 && g.chance(50) {
			q.seen = append(q.seen, flow.Source{Server: pick(g, h.Texts)})
		}
	}
	if g.chance(10) {
		q.revision = mcp.Revision(oneOf(g, h.Texts, []string{"2025-06-18"}))
	}
	return q
}

// anybody is somebody whom a policy is about, or anybody.
func (g *generator) anybody(h *policy.Hint) person {
	p := pick(g, g.people)
	if !g.chance(70) {
		return p
	}
	switch n := len(h.Users) + len(h.Roles) + len(h.Groups); {
	case n == 0 && len(h.Texts) > 0 && g.chance(20):
		id := g.text(h)
		return person{mcp.Principal{ID: id, Name: id, Roles: p.Roles}, label(mcp.Principal{ID: "users of other names", Roles: p.Roles}), true}
	case n == 0:
		return p
	}
	who := mcp.Principal{ID: someone}
	if len(h.Users) > 0 {
		who.ID = pick(g, h.Users)
	}
	if len(h.Roles) > 0 {
		who.Roles = []string{pick(g, h.Roles)}
	} else if g.chance(20) {
		who.Roles = p.Roles
	}
	if len(h.Groups) > 0 {
		who.Groups = []string{pick(g, h.Groups)}
	}
	return person{Principal: who, label: label(who)}
}

// anything is something that a policy is about, or anything.
func (g *generator) anything(h *policy.Hint) thing {
	t := pick(g, g.things)
	switch {
	case !g.chance(70):
		return t
	case len(h.Things) > 0:
		t = oneOf(g, of(pick(g, h.Things)), g.things)
	case len(h.Servers) > 0:
		t = oneOf(g, g.byServer[pick(g, h.Servers)], g.things)
	}
	for range 8 { // most actions are done to one kind of thing
		if len(h.Things) > 0 || len(h.Actions) == 0 || slices.Contains(h.Actions, t.action) {
			break
		}
		t = pick(g, g.things)
	}
	named := t.of.Kind == "Tool" || t.of.Kind == "Prompt" || t.of.Kind == "Resource" || t.of.Kind == "Model"
	if named && len(h.Things) == 0 && len(h.Texts) > 0 && g.chance(50) {
		t.of.Name = g.text(h)
	}
	if t.of.Kind == "Context" && g.chance(50) {
		t.of.Owner = pick(g, g.people).ID
	}
	return t
}

// value is one of a type, on either side of what a policy compares with.
func (g *generator) value(kind string, h *policy.Hint) json.RawMessage {
	if g.chance(3) {
		kind = pick(g, []string{"String", "Long", "Bool", "Set<String>"})
	}
	if inner, ok := strings.CutPrefix(kind, "Set<"); ok {
		var all []string
		for range g.random.IntN(4) {
			all = append(all, string(g.value(strings.TrimSuffix(inner, ">"), h)))
		}
		return json.RawMessage("[" + strings.Join(all, ",") + "]")
	}
	switch kind {
	case "Long":
		return json.RawMessage(strconv.FormatInt(oneOf(g, h.Numbers, []int64{0, 1, 1000})+int64(g.random.IntN(3)-1), 10))
	case "Bool":
		return json.RawMessage(strconv.FormatBool(g.chance(50)))
	case "decimal":
		text := oneOf(g, h.Decimals, []string{"1.5"})
		if v, err := strconv.ParseFloat(text, 64); err == nil && g.chance(66) {
			text = strconv.FormatFloat(v+pick(g, []float64{-0.1, 0.1, 1000}), 'f', 4, 64)
		}
		return json.RawMessage(text)
	}
	text, err := json.Marshal(g.text(h))
	if err != nil {
		return json.RawMessage(`""`)
	}
	return text
}

// text is one that a policy names or matches, or that is close to it.
func (g *generator) text(h *policy.Hint) string {
	text := oneOf(g, h.Texts, []string{"", "x", "/etc/passwd"})
	switch g.random.IntN(8) {
	case 0:
		return text + "x"
	case 1:
		return strings.TrimSuffix(text, text[max(len(text)-1, 0):])
	case 2:
		return "x" + text
	case 3:
		return text + "/../x"
	case 4:
		return pick(g, []string{"", "x", "/etc/passwd"})
	}
	return text
}

// address is one inside a network that a policy names, just outside, elsewhere, or not known.
func (g *generator) address(h *policy.Hint) netip.Addr {
	if len(h.Networks) == 0 || g.chance(30) {
		return pick(g, []netip.Addr{{}, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.AddrFrom4([4]byte{203, 0, 113, 7})})
	}
	network := pick(g, h.Networks).Masked()
	switch g.random.IntN(3) {
	case 0:
		return network.Addr().Prev()
	case 1:
		return last(network).Next()
	}
	return network.Addr()
}

// last is the last address of a network.
func last(network netip.Prefix) netip.Addr {
	bytes := network.Addr().AsSlice()
	for i := network.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 1 << (7 - i%8)
	}
	address, _ := netip.AddrFromSlice(bytes)
	return address
}

// time is about one that a policy names, as a time of a day too; else the usual one.
func (g *generator) time(h *policy.Hint) time.Time {
	step := time.Duration(g.random.IntN(3)-1) * time.Second
	switch {
	case len(h.Times) > 0 && g.chance(80):
		return pick(g, h.Times).Add(step).UTC()
	case len(h.Durations) > 0 && g.chance(80):
		return g.now.Truncate(24 * time.Hour).Add(pick(g, h.Durations) + step)
	}
	return g.now
}

// next is a question about what a policy speaks of, mostly.
func (g *generator) next() *question {
	h := g.hint()
	return g.question(g.anybody(h), g.anything(h), h)
}

// real is the question of a call that was made.
func (g *generator) real(c Call) (*question, error) {
	asked := policy.Question{Action: policy.Action(c.Method), Resource: policy.Resource{Server: c.Server, Name: c.Name}}
	switch asked.Action { // a call that was refused is on record by its action
	case "call_tool":
		asked.Resource.Kind = "Tool"
	case "get_prompt":
		asked.Resource.Kind = "Prompt"
	case "read_resource", "subscribe":
		asked.Resource.Kind = "Resource"
	case "use_task", "extend":
		asked.Resource.Kind, asked.Resource.Name = "Server", ""
	default:
		var err error
		if asked, err = policy.Ask(c.Method, c.Server, c.Name, c.Arguments); err != nil {
			return nil, err
		}
	}
	at := c.Time
	if at.IsZero() {
		at = g.now
	}
	return &question{
		who: person{Principal: c.Principal, label: label(c.Principal)}, what: thing{asked.Action, asked.Resource}, given: c.Arguments,
		usual: g.now, at: at, revision: mcp.Revision20260728, real: true,
	}, nil
}
