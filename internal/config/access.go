package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Access says who may do what. As long as nobody has to show who they are (no auth) and there are no policies, everybody
// who reaches the gateway may do everything. From then on everything is refused that no role and no policy permits, and
// what somebody may not call is not in their lists. docs/policies.md is the manual of policies.
type Access struct {
	// Own policies, in Cedar (https://docs.cedarpolicy.com), on top of the roles. An entry is the name of a file, or an
	// object with file, or with name and text. They are checked against the schema of docs/policies.md when they are
	// loaded; all faults are reported at once.
	Policies []PolicySource `yaml:"policies" aka:"rules,cedar" example:"[access.cedar]"`
	// Calls with the answers that the policies have to give, asked whenever they are loaded: at the start, at a reload and
	// by dragoman check. A configuration with one that is answered otherwise is refused; all of them are reported at
	// once, each with the rule that decided.
	Expect []Expectation `yaml:"expect" aka:"tests,expectations"`
	// Policies on trial, written like policies: what would be in their place. They decide nothing. Calls are asked of
	// both, and where the answers differ it is counted, logged and gathered for dragoman policy compare.
	Candidate []PolicySource `yaml:"candidate" aka:"candidates,shadow,trial" example:"[next.cedar]"`
	// Roles of callers whose credentials say none; [user] when this is not set. The roles are user (uses every server),
	// model_developer (a user who also manages models, prompts and the contexts of others) and admin (everything). Write
	// [] to permit such callers only what policies permit.
	DefaultRoles []string `yaml:"default_roles" example:"[user]"`
	// Whether definitions that reach a model (tools, prompts, templates, a server's instructions and how it is started)
	// have to be approved. With off nothing is. With first_sight a definition is taken as approved when it is seen for
	// the first time; when it changes later, it is not listed and cannot be called until somebody approves it. With
	// strict a new one has to be approved too.
	Pinning string `yaml:"pinning" default:"off" enum:"off|first_sight|strict"`
	// What must not be done, or not without the user's word, once a conversation has read content that others may have
	// written. docs/policies.md says what that keeps off and what it does not.
	Flows []Flow `yaml:"flows" aka:"flow,taint,taints"`
	// What counts as one conversation for flows, and for context.seen of policies. A change takes a restart.
	Conversation Conversation `yaml:"conversation"`
}

// PolicySource is where policies are written.
type PolicySource struct {
	// File with policies.
	File string `yaml:"file" short:"true" path:"true" example:"access.cedar"`
	// What text is called in faults and decisions.
	Name string `yaml:"name" example:"office-hours"`
	// The policies themselves, in place of a file.
	Text string `yaml:"text" aka:"policy,cedar,inline" example:"permit(principal, action, resource in Server::\"time\");"`
}

// Rule bounds how often calls are made. A call is one tools/call, prompts/get, resources/read or completion/complete,
// however it arrived. What is refused was not sent to the server; the answer says how long to wait. A rule without rate,
// per_day and at_once bounds nothing.
type Rule struct {
	// What is counted together: all calls of one principal, all calls to one server, or to one tool; each principal's to
	// each server or tool; or those of one model. Without auth all callers are one principal.
	Per string `yaml:"per" required:"true" enum:"principal|server|tool|principal-server|principal-tool|model"`
	// Calls that count, written server__tool with the separator of names, in which * stands for any characters and ? for
	// one. When empty all count.
	Match []string `yaml:"match" aka:"tools,servers" example:"[web__*]"`
	// Most calls in the time of every. 0 means any number.
	Rate int `yaml:"rate" default:"0" min:"0" max:"1000000000" aka:"calls,limit,requests"`
	// The time that rate is for.
	Every time.Duration `yaml:"every" default:"1m" min:"1ms" max:"24h" aka:"window,period,interval"`
	// Calls that may be made at once before rate holds them back. 0 means a twentieth of rate, at least 10 and at most
	// rate. In any stretch of time as long as every, at most rate and burst together pass.
	Burst int `yaml:"burst" default:"0" min:"0" max:"1000000000"`
	// Most calls between two midnights (UTC). 0 means any number.
	PerDay int `yaml:"per_day" default:"0" min:"0" max:"1000000000" aka:"quota,daily"`
	// Most calls that are answered at the same time: by all replicas together with redis, else by each. 0 means any number.
	AtOnce int `yaml:"at_once" default:"0" min:"0" max:"1000000" aka:"concurrency,parallel"`
}

// Rates says how often calls may be made, and how the replicas of one gateway count together.
type Rates struct {
	// What is bounded. When empty nothing is counted, but for calls of models: 60 per minute for each model that no rule
	// is about.
	Calls []Rule `yaml:"calls" aka:"rules,limits"`
	// Redis in which calls are counted, as redis://[user:password@]host:port[/db] or rediss:// for TLS. When
	// empty each replica counts by itself.
	Redis Secret `yaml:"redis" env:"MCP_REDIS_URL" example:"${REDIS_URL}"`
	// How many replicas there are. While Redis cannot be reached each lets its own part of rate and per_day through.
	Replicas int `yaml:"replicas" default:"1" min:"1" max:"10000"`
	// How long an answer of Redis may take; then it counts as away.
	Timeout time.Duration `yaml:"timeout" default:"100ms" min:"1ms" max:"10s"`
	// What names in Redis begin with.
	Prefix string `yaml:"prefix" default:"dragoman:limit:"`
}

var roleName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// access checks the form of access and rates; what policies say is checked by who knows the language.
func (c *checker) access() {
	c.sources("access.policies", c.Access.Policies)
	c.sources("access.candidate", c.Access.Candidate)
	c.expectations()
	for i, role := range c.Access.DefaultRoles {
		if !roleName.MatchString(role) {
			c.fault(fmt.Sprintf("access.default_roles[%d]", i), fmt.Sprintf("%q is not a role", role), "the roles are user, model_developer and admin")
		}
	}
	for i, proxy := range c.TrustedProxies {
		path := fmt.Sprintf("trusted_proxies[%d]", i)
		switch network, err := Network(proxy); {
		case err != nil:
			c.fault(path, fmt.Sprintf("%q is no address or network", proxy), "write it like 10.0.0.5 or 10.0.0.0/24")
		case network.Bits() == 0:
			c.fault(path, fmt.Sprintf("%q is everybody, who could then call from any address they like", proxy), "name the proxies")
		}
	}
	c.flows()
	for i, r := range c.Rates.Calls {
		c.rule(fmt.Sprintf("rates.calls[%d]", i), r)
	}
	if u := c.Rates.Redis.Reveal(); u != "" {
		if parsed, err := url.Parse(u); err != nil || parsed.Scheme != "redis" && parsed.Scheme != "rediss" || parsed.Hostname() == "" {
			c.fault("rates.redis", "is not a redis:// or rediss:// URL", "write it like redis://127.0.0.1:6379/0")
		}
	}
}

// sources checks where policies are written.
func (c *checker) sources(section string, all []PolicySource) {
	for i, p := range all {
		path := fmt.Sprintf("%s[%d]", section, i)
		switch {
		case (p.File == "") == (p.Text == ""):
			c.hollow(path, "has to have either file or text", "write the name of a file, or name and text")
		case p.Text != "" && p.Name == "":
			c.hollow(path+".name", "is missing", "say what the text is called in decisions, like office-hours")
		}
	}
}

// Network reads an address or a network, with IPv4 in its short form and what is not of the network cut off.
func Network(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no address", text)
		}
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network.Masked(), nil
}

func (c *checker) rule(path string, r Rule) {
	if r.Rate == 0 && r.PerDay == 0 && r.AtOnce == 0 {
		c.hollow(path, "bounds nothing", "give it rate, per_day or at_once")
	}
	if r.Burst > r.Rate {
		c.fault(path+".burst", fmt.Sprintf("%d is more than rate, %d", r.Burst, r.Rate), "make it smaller, or rate larger")
	}
	if r.Per == "model" && len(r.Match) > 0 {
		c.fault(path+".match", "is about tools, and this rule counts the calls of models", "remove it")
	}
	seen := map[string]bool{}
	servers := slices.Sorted(maps.Keys(c.Servers))
	for i, entry := range r.Match {
		here := fmt.Sprintf("%s.match[%d]", path, i)
		server, name, ok := strings.Cut(entry, cmp.Or(c.Names.Separator, defaultSeparator))
		switch {
		case seen[entry]:
			c.fault(here, fmt.Sprintf("%q is here twice", entry), "remove one of them")
		case !ok || server == "" || name == "":
			if len(servers) > 0 && strings.ContainsAny(entry, "*?") && !ok {
				break // a pattern over both
			}
			c.entry(here, entry)
		default:
			c.entry(here, entry)
		}
		seen[entry] = true
	}
}
