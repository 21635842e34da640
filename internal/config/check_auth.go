package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// symmetric and asymmetric are the algorithms that issuers may use, without and with a key that is public.
var (
	symmetric  = []string{"HS256", "HS384", "HS512"}
	asymmetric = []string{"EdDSA", "Ed25519", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
)

// reservedIssuers are words that begin the names of callers of other kinds.
var reservedIssuers = []string{"user", "key", "cert", "token", "client", "gateway"}

// auth checks who may call.
func (c *checker) auth() {
	names, urls, asks := map[string]int{}, map[string]int{}, -1
	for i, issuer := range c.Auth.Issuers {
		path := fmt.Sprintf("auth.issuers[%d]", i)
		if first, twice := names[issuer.Name]; twice {
			c.fault(path+".name", fmt.Sprintf("%q is also the name of auth.issuers[%d]", issuer.Name, first), "give each issuer its own name")
		}
		if first, twice := urls[issuer.URL]; twice {
			c.fault(path+".url", fmt.Sprintf("is also the url of auth.issuers[%d]", first), "name each issuer once; audience and scopes may be lists")
		}
		names[issuer.Name], urls[issuer.URL] = i, i
		c.issuer(path, issuer)
		if issuer.Introspection.URL != "" {
			if asks >= 0 {
				c.fault(path+".introspection", fmt.Sprintf("auth.issuers[%d] has it too, and an opaque token does not say whose it is", asks), "keep one of them: the other issuer would be shown tokens that are not its own")
			}
			asks = i
		}
	}
	for i, token := range c.Auth.Tokens {
		prefix, _, ok := strings.Cut(token.Name, ":")
		if _, known := names[prefix]; ok && (known || slices.Contains(reservedIssuers, prefix)) {
			c.fault(fmt.Sprintf("auth.tokens[%d].name", i), fmt.Sprintf("%q could be taken for a caller of another kind", token.Name), "choose a name without "+prefix+":")
		}
	}
	c.certificates()
	c.authorizationServer()
}

func (c *checker) issuer(path string, issuer Issuer) {
	if !serverName.MatchString(issuer.Name) {
		c.fault(path+".name", fmt.Sprintf("%q is not 1 to 32 characters of a-z, 0-9, _ and -", issuer.Name), "write it like corp")
	}
	if slices.Contains(reservedIssuers, issuer.Name) {
		c.fault(path+".name", fmt.Sprintf("%q is what callers of another kind are called", issuer.Name), "choose another name")
	}
	c.secureURL(path+".url", issuer.URL)
	if issuer.JWKSURL != "" {
		c.secureURL(path+".jwks_url", issuer.JWKSURL)
	}
	c.introspection(path+".introspection", issuer.Introspection)
	allowed := asymmetric
	if issuer.Secret != "" {
		allowed = symmetric
		if issuer.JWKSURL != "" {
			c.fault(path+".jwks_url", "has no meaning beside secret", "keep one of them")
		}
	}
	for i, alg := range issuer.Algorithms {
		here := fmt.Sprintf("%s.algorithms[%d]", path, i)
		switch {
		case slices.Contains(allowed, alg):
		case issuer.Secret == "" && slices.Contains(symmetric, alg):
			c.fault(here, alg+" needs secret", "use an algorithm with public keys, such as ES256; whoever holds a shared secret can make tokens")
		default:
			c.fault(here, fmt.Sprintf("%q is not accepted here", alg), "use one of "+strings.Join(allowed, ", "))
		}
	}
	for i, aud := range issuer.Audience {
		if aud == "" || strings.Contains(aud, "*") {
			c.fault(fmt.Sprintf("%s.audience[%d]", path, i), fmt.Sprintf("%q is no audience", aud), "write it exactly as tokens say it in aud")
		}
	}
}

func (c *checker) introspection(path string, in Introspection) {
	if in.URL == "" {
		if in.ClientID != "" || in.ClientSecret != "" {
			c.fault(path+".url", "is missing", "write the introspection_endpoint of the issuer's metadata")
		}
		return
	}
	c.secureURL(path+".url", in.URL)
	if in.ClientID == "" || in.ClientSecret == "" {
		c.fault(path, "has no client_id and client_secret", "register the gateway as a client at the issuer: whoever may ask without could try out tokens (RFC 7662, 4)")
	}
}

// secureURL checks an address that others' claims are believed by.
func (c *checker) secureURL(path, text string) {
	if problem, remedy := badURL(text, "http", "https"); problem != "" {
		c.fault(path, problem, remedy)
		return
	}
	u, err := url.Parse(text)
	if err != nil {
		return // badURL has reported it
	}
	if u.Scheme == "http" && !IsLoopback(u.Hostname()) {
		c.fault(path, "is http to another machine, where anybody on the way could answer", "use https")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		c.fault(path, "has a query or a fragment", "remove it")
	}
}

func (c *checker) certificates() {
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		c.fault("tls", "has one of cert and key", "give both, or neither")
	}
	if c.TLS.ClientCA != "" && c.TLS.Cert == "" {
		c.fault("tls.client_ca", "has no meaning without tls.cert", "client certificates are shown within TLS: give cert and key")
	}
	if len(c.TLS.ClientCRL) > 0 && c.TLS.ClientCA == "" {
		c.fault("tls.client_crl", "has no meaning without tls.client_ca", "name the authorities whose lists these are")
	}
	if c.TLS.RequireClientCert && c.TLS.ClientCA == "" {
		c.fault("tls.require_client_cert", "has no meaning without tls.client_ca", "name the authorities that vouch for clients")
	}
	if c.Auth.Certificates.Enabled && c.TLS.ClientCA == "" {
		c.fault("auth.certificates.enabled", "needs tls.client_ca", "name the authorities that vouch for clients")
	}
}

func (c *checker) authorizationServer() {
	s := c.Auth.Server
	host, _, _ := net.SplitHostPort(c.Listen) // listen has been reported if it is wrong
	switch {
	case s.Enabled && c.PublicURL != "":
		c.secureURL("public_url", c.PublicURL)
	case s.Enabled && !IsLoopback(host):
		c.fault("auth.authorization_server.enabled", "needs public_url, since the gateway is reached from other machines", "set public_url to the https address that clients use")
	}
	seen := map[string]bool{}
	for i, client := range s.Clients {
		path := fmt.Sprintf("auth.authorization_server.clients[%d]", i)
		if seen[client.ID] {
			c.fault(path+".id", fmt.Sprintf("%q is there twice", client.ID), "give each client its own id")
		}
		seen[client.ID] = true
		for j, redirect := range client.RedirectURIs {
			u, err := url.Parse(redirect)
			bad := err != nil || u.Scheme == "" || u.Fragment != "" || u.User != nil || u.Scheme == "http" && !IsLoopback(u.Hostname())
			if bad || slices.Contains([]string{"javascript", "data", "file", "vbscript", "about", "blob"}, strings.ToLower(u.Scheme)) {
				c.fault(fmt.Sprintf("%s.redirect_uris[%d]", path, j), fmt.Sprintf("%q is no address that users can be sent back to", redirect),
					"use https, http on loopback, or the app's own scheme, without a fragment")
			}
		}
	}
}
