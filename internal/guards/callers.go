package guards

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

func (c *comparison) reload() {
	c.on("reload.may_lower_safety", c.was.Reload.MayLowerSafety, c.now.Reload.MayLowerSafety)
}

// listening is about from where the gateway can be reached, and what protects the way to it.
func (c *comparison) listening() {
	was, now := c.was, c.now
	if breadth(now.Listen) > breadth(was.Listen) {
		c.less("listen", "was "+was.Listen+" and is "+now.Listen+", which more machines reach")
	}
	if extra := without(hosts(now), hosts(was)); len(extra) > 0 {
		c.less(pathOf(now.PublicURL != was.PublicURL, "public_url", "allowed_hosts"), fmt.Sprintf("admits names of the gateway that were refused: %v", extra))
	}
	c.wider("allowed_origins", was.AllowedOrigins, now.AllowedOrigins)
	c.wider("trusted_proxies", was.TrustedProxies, now.TrustedProxies)
	c.off("tls.cert", was.TLS.Cert != "", now.TLS.Cert != "")
	if now.TLS.ClientCA != "" && len(without(was.TLS.ClientCRL, now.TLS.ClientCRL)) > 0 {
		c.less("tls.client_crl", fmt.Sprintf("lists of revoked certificates are read no more: %v", without(was.TLS.ClientCRL, now.TLS.ClientCRL)))
	}
	c.off("tls.require_client_cert", was.TLS.RequireClientCert, now.TLS.RequireClientCert)
	c.on("telemetry.profiling", was.Telemetry.Profiling, now.Telemetry.Profiling)
}

func pathOf(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// breadth orders addresses to listen on: this machine, one of its addresses, all of them.
func breadth(listen string) int {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return 0
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case config.IsLoopback(host):
		return 0
	case host == "", err == nil && addr.IsUnspecified():
		return 2
	}
	return 1
}

// hosts are the names by which the gateway may be called besides those of its listener.
func hosts(cfg *config.Config) []string {
	all := slices.Clone(cfg.AllowedHosts)
	if u, err := url.Parse(cfg.PublicURL); err == nil && u.Host != "" {
		all = append(all, u.Host)
	}
	return all
}

// callers is about who may come in, and as what.
func (c *comparison) callers() {
	was, now := c.was.Auth, c.now.Auth
	if was.Guarded() && !now.Guarded() {
		c.less("auth", "had ways to show who calls and has none, so that everybody may call")
		return // everything else of it is part of that
	}
	for i, t := range now.Tokens {
		at := slices.IndexFunc(was.Tokens, func(w config.Token) bool { return w.Name == t.Name })
		if at >= 0 {
			c.wider(fmt.Sprintf("auth.tokens[%d].roles", i), c.rolesOf(c.was, was.Tokens[at].Roles), c.rolesOf(c.now, t.Roles))
		}
	}
	for i, issuer := range now.Issuers {
		at := slices.IndexFunc(was.Issuers, func(w config.Issuer) bool { return w.Name == issuer.Name })
		if at >= 0 {
			c.issuer(fmt.Sprintf("auth.issuers[%d]", i), was.Issuers[at], issuer)
		}
	}
	if was.Certificates.Enabled && now.Certificates.Enabled {
		c.wholeOr("auth.certificates.names", was.Certificates.Names, now.Certificates.Names)
		c.wider("auth.certificates.roles", c.rolesOf(c.was, was.Certificates.Roles), c.rolesOf(c.now, now.Certificates.Roles))
	}
	if was.Server.Enabled {
		c.on("auth.authorization_server.dynamic_registration", was.Server.DynamicRegistration, now.Server.DynamicRegistration)
	}
}

// rolesOf are the roles that somebody has, by whose credential says these.
func (c *comparison) rolesOf(cfg *config.Config, roles []string) []string {
	if len(roles) > 0 {
		return roles
	}
	return cfg.Access.DefaultRoles
}

func (c *comparison) issuer(path string, was, now config.Issuer) {
	if was.URL != now.URL {
		c.less(path+".url", "is another issuer's under the same name, whose callers get the rights of those before")
	}
	if was.JWKSURL != now.JWKSURL {
		c.less(path+".jwks_url", "has the keys of the same callers from elsewhere")
	}
	if in := now.Introspection; in.URL != "" && in.URL != was.Introspection.URL {
		c.less(path+".introspection.url", "has the word about callers from elsewhere")
	} else if in.URL != "" && in.CacheTTL > was.Introspection.CacheTTL {
		c.less(path+".introspection.cache_ttl", fmt.Sprintf("is %s, and revoked tokens were refused sooner", in.CacheTTL))
	}
	c.wider(path+".audience", was.Audience, now.Audience) // none is the address that was called, and for that alone
	c.wider(path+".algorithms", orElse(was.Algorithms, algorithms(was)), orElse(now.Algorithms, algorithms(now)))
	c.wider(path+".types", orElse(was.Types, accessTokens), orElse(now.Types, accessTokens))
	c.narrower(path+".scopes", was.Scopes, now.Scopes)
	for theirs, ours := range now.Roles {
		if before, there := was.Roles[theirs]; !there || before != ours {
			c.less(path+".roles", fmt.Sprintf("makes %q a %s, which was %s", theirs, ours, cmp.Or(before, "nothing")))
		}
	}
	c.wider(path+".default_roles", was.DefaultRoles, now.DefaultRoles)
	c.off(path+".claims.servers", was.Claims.Servers != "", now.Claims.Servers != "")
	for _, claim := range [][3]string{{".claims.roles", was.Claims.Roles, now.Claims.Roles}, {".claims.groups", was.Claims.Groups, now.Claims.Groups}} {
		if claim[1] != claim[2] {
			c.less(path+claim[0], "takes what callers may from the claim "+claim[2]+", and took it from "+claim[1])
		}
	}
}

// accessTokens are the types of token that an issuer's are when nothing is said.
var accessTokens = []string{"at+jwt"}

// algorithms are those of an issuer that names none.
func algorithms(i config.Issuer) []string {
	if i.Secret != "" {
		return []string{"HS256"}
	}
	return []string{"EdDSA", "ES256", "RS256"}
}

func orElse(list, or []string) []string {
	if len(list) > 0 {
		return list
	}
	return or
}

// access is about who may do what, beside the policies.
func (c *comparison) access() {
	was, now := c.was, c.now
	if decides(was) && !decides(now) && !was.Auth.Guarded() {
		c.less("access.policies", "are gone, and nobody has to show who they are, so that everybody may do everything")
	}
	c.wider("access.default_roles", was.Access.DefaultRoles, now.Access.DefaultRoles)
	c.down("access.pinning", was.Access.Pinning, now.Access.Pinning, "off", "first_sight", "strict")
	c.flows()
	for i, rule := range was.Rates.Calls {
		if !slices.ContainsFunc(now.Rates.Calls, func(n config.Rule) bool { return bounds(n, rule) }) {
			c.less("rates.calls", fmt.Sprintf("does not bound any more what its rule %d bounded (per %s)", i+1, rule.Per))
		}
	}
	c.narrower("secrets.names", was.Secrets.Names, now.Secrets.Names)
}

// flows is about what may be done after something was read. A flow that has another name is another.
func (c *comparison) flows() {
	now := c.now.Access.Flows
	for i := range c.was.Access.Flows {
		was := &c.was.Access.Flows[i]
		at := -1
		for j := range now {
			if now[j].Title(j) == was.Title(i) {
				at = j
			}
		}
		if at < 0 {
			c.less("access.flows", "does not have "+was.Title(i)+" any more")
			continue
		}
		path := fmt.Sprintf("access.flows[%d]", at)
		c.narrower(path+".from", was.From, now[at].From)
		c.narrower(path+".to", was.To, now[at].To)
		c.wider(path+".except", was.Except, now[at].Except)
		c.down(path+".do", was.Do, now[at].Do, "ask", "refuse")
	}
}

// decides says whether calls are decided about at all.
func decides(cfg *config.Config) bool { return cfg.Auth.Guarded() || len(cfg.Access.Policies) > 0 }

// bounds says whether a rule bounds whatever another did, by other numbers maybe.
func bounds(now, was config.Rule) bool {
	whole := len(now.Match) == 0 || len(was.Match) > 0 && len(without(was.Match, now.Match)) == 0
	return now.Per == was.Per && whole && (was.Rate == 0 || now.Rate > 0) && (was.PerDay == 0 || now.PerDay > 0) && (was.AtOnce == 0 || now.AtOnce > 0)
}

// records is about what is written down of calls.
func (c *comparison) records() {
	was, now := c.was.Audit, c.now.Audit
	if was.Dir == "" {
		return
	}
	if now.Dir == "" {
		c.less("audit", "was on and is off")
		return
	}
	c.down("audit.reads", was.Reads, now.Reads, "off", "outcome", "strict")
	c.wider("audit.read_tools", was.ReadTools, now.ReadTools)
	c.off("audit.checkpoints", was.Checkpoints != "", now.Checkpoints != "")
	if now.Retention > 0 && (was.Retention == 0 || now.Retention < was.Retention) {
		c.less("audit.retention", fmt.Sprintf("is %s, and records were kept longer", now.Retention))
	}
}
