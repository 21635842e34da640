package policy

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Caller fills in what the configuration says of who has the ID of p: of a token its roles, unless p has some. Of
// everybody else the configuration says nothing.
func Caller(cfg *config.Config, p mcp.Principal) mcp.Principal {
	for _, t := range cfg.Auth.Tokens {
		if t.Name != p.ID {
			continue
		}
		p.Method = "token"
		if len(p.Roles) == 0 {
			p.Roles = t.Roles
		}
	}
	return p
}

// Released tells which calls the expectations of a configuration denied, that the policies of another permit, whose
// expectations then are others. Whoever takes an expectation away takes nothing from anybody by that alone; a call that
// was not to be made, and then can be, does. The places are in the second one.
func Released(was, now *config.Config) (strict.Faults, error) {
	if len(was.Access.Expect) == 0 {
		return nil, nil
	}
	rules, err := newRuleset(now, "access.policies", now.Access.Policies)
	if err != nil {
		return nil, fmt.Errorf("load policies: %w", err)
	}
	var faults strict.Faults
	for _, e := range was.Access.Expect {
		q, at, fault := ask(was, e, time.Now())
		if fault != nil || e.Decision != deny {
			continue
		}
		if _, there := now.Servers[q.Resource.Server]; !there && q.Resource.Server != "" {
			continue // nobody calls what is not there
		}
		if d := rules.decide(&q, at); d.Allow {
			faults = append(faults, now.Fault("access.expect", fmt.Sprintf("has no more what was expected: %s: deny; it is %s", told(e), because(d)), ""))
		}
	}
	return faults, nil
}

// The answers that are expected, as they are written.
const (
	allow = "allow"
	deny  = "deny"
)

// unmet judges the expectations of cfg: a fault for each that is answered otherwise.
func (r *ruleset) unmet(cfg *config.Config, now time.Time) strict.Faults {
	var faults strict.Faults
	for i, e := range cfg.Access.Expect {
		path := fmt.Sprintf("access.expect[%d]", i)
		q, at, fault := ask(cfg, e, now)
		if fault != nil {
			faults = append(faults, cfg.Fault(path+fault.Path, fault.Problem, fault.Remedy))
			continue
		}
		if d := r.decide(&q, at); d.Allow != (e.Decision == allow) {
			faults = append(faults, cfg.Fault(path, fmt.Sprintf("%s: expected %s, got %s", told(e), e.Decision, because(d)),
				"mend the policies, or the expectation if it holds no more"))
		}
	}
	return faults
}

// ask makes the question of an expectation, and when it is asked; or says what is wrong with it, at a path within it.
func ask(cfg *config.Config, e config.Expectation, now time.Time) (Question, time.Time, *strict.Fault) {
	var arguments jsonrpc.Object
	if raw := bytes.TrimSpace(e.Arguments); len(raw) > 0 && string(raw) != "null" {
		var err error
		if arguments, err = jsonrpc.ParseObject(raw, jsonrpc.Limits{MaxDepth: cfg.Limits.Depth}); err != nil {
			return Question{}, now, &strict.Fault{Path: ".arguments", Problem: "are no arguments of a call: " + err.Error()}
		}
	}
	server, name := "", e.Name
	if strings.Contains(e.Method, "/") {
		var ok bool
		if server, name, ok = strings.Cut(e.Name, cfg.Names.Separator); !ok {
			return Question{}, now, &strict.Fault{Path: ".name", Problem: fmt.Sprintf("%q does not say of which server it is", e.Name),
				Remedy: "write it like files" + cfg.Names.Separator + "read_file"}
		}
		if _, ok := cfg.Servers[server]; !ok {
			return Question{}, now, &strict.Fault{Path: ".name", Problem: fmt.Sprintf("there is no server %q", server)}
		}
	}
	q, err := Ask(e.Method, server, name, arguments)
	if err != nil {
		return q, now, &strict.Fault{Path: ".method", Problem: err.Error()}
	}
	if e.Address != "" {
		q.Address, _ = netip.ParseAddr(e.Address) // its form has been checked, as that of the time
	}
	if at, err := time.Parse(time.RFC3339, e.Time); err == nil {
		now = at
	}
	q.Revision, q.Explain = mcp.Revision20260728, true
	q.Principal = Caller(cfg, mcp.Principal{ID: e.As, Roles: e.Roles, Groups: e.Groups})
	return q, now, nil
}

// told says for people what an expectation is about.
func told(e config.Expectation) string {
	text := e.Method + " " + e.Name
	if raw := bytes.TrimSpace(e.Arguments); len(raw) > 0 && len(raw) <= 200 {
		text += " " + string(raw)
	}
	who := e.As
	if who == "" {
		who = "nobody in particular"
	}
	return who + " " + text
}

// because says for people what was decided, and by what.
func because(d Decision) string {
	word := deny
	if d.Allow {
		word = allow
	}
	if d.Rule == RuleOpen {
		return word + ": there are no policies and nobody has to show who they are, so that everybody may do everything"
	}
	if d.Fault != "" {
		word += " by " + d.Rule
	}
	return word + ": " + strings.Join(d.Reasons[:min(len(d.Reasons), 3)], ", ")
}
