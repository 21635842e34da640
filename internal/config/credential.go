package config

import (
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

// Credential says how the gateway gets a token that it shows to a url server, besides what is in headers. It replaces
// none of the caller's: what a caller shows to the gateway goes to no server.
type Credential struct {
	// Whose token it is. none: there is none. client_credentials: the gateway's own, for everybody (OAuth client
	// credentials). oauth: each caller's, who logs in at the server's authorization server when a call needs it; the
	// client shows the link. exchange: each caller's, for which the caller's own token is exchanged (RFC 8693). With
	// oauth and exchange callers share no connection: isolation is principal then, unless it is session.
	Type string `yaml:"type" default:"none" enum:"none|client_credentials|oauth|exchange" aka:"kind,mode" short:"true"`
	// The authorization server, as its metadata says it in issuer. https, or http on loopback. When empty it is the one
	// that the server names; exchange, and a client_secret, take one that is named here.
	Issuer string `yaml:"issuer" aka:"authorization_server,iss" example:"https://login.example.org/realms/staff"`
	// Address of the token endpoint. When empty it is found through the issuer's metadata.
	TokenURL string `yaml:"token_url" aka:"token_endpoint" example:"https://login.example.org/token"`
	// Which client the gateway is there. When empty, with oauth, it names itself by a metadata document at public_url, if
	// that is https and the authorization server knows such documents, or else registers itself.
	ClientID string `yaml:"client_id" example:"dragoman"`
	// Its secret, if it has one.
	ClientSecret Secret `yaml:"client_secret" example:"${CLIENT_SECRET}"`
	// How the secret is sent: basic (in a header), post (in the form), or auto, which is basic unless the authorization
	// server says that it only takes post.
	ClientAuth string `yaml:"client_auth" default:"auto" enum:"auto|basic|post" aka:"token_endpoint_auth_method"`
	// Scopes to ask for. When empty, with oauth, they are those that the server asks for.
	Scopes []string `yaml:"scopes" aka:"scope" list:"or-text" example:"[repo, read:user]"`
	// What the token is for (RFC 8707). When empty it is the server's address, or as the server's own metadata says it.
	Resource string `yaml:"resource" example:"https://mcp.example.org/mcp"`
	// Logical name of whom the token is for, which some authorization servers want of an exchange.
	Audience string `yaml:"audience" aka:"aud" example:"billing"`
}

// Personal tells whether each caller has a credential of its own.
func (c Credential) Personal() bool { return c.Type == "oauth" || c.Type == "exchange" }

// credential checks what belongs together, without showing the secret.
func (c *checker) credential(s Server) {
	path, a := "servers."+s.Name+".auth", s.Auth
	if a.Type == "none" || a.Type == "" {
		for _, key := range []string{"issuer", "token_url", "client_id", "client_secret", "scopes", "resource", "audience"} {
			if c.isSet(path + "." + key) {
				c.hollow(path+".type", "does not say how the token is got, and "+key+" is set", "write type: oauth, client_credentials or exchange")
				return
			}
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		if textproto.CanonicalMIMEHeaderKey(name) == "Authorization" {
			c.fault("servers."+s.Name+".headers."+name, "is set, and auth makes the same header", "remove one of them")
		}
	}
	if a.Personal() && s.Isolation == "shared" && c.isSet("servers."+s.Name+".isolation") {
		c.fault("servers."+s.Name+".isolation", "is shared, and auth gives each caller a token of its own", "write principal or session, or leave it out")
	}
	for key, text := range map[string]string{"issuer": a.Issuer, "token_url": a.TokenURL} {
		if text != "" {
			c.secureURL(path+"."+key, text)
		}
	}
	c.credentialParts(path, a)
}

func (c *checker) credentialParts(path string, a Credential) {
	named := a.Issuer != "" || a.TokenURL != ""
	switch {
	case a.Type == "exchange" && !named:
		c.hollow(path, "does not say where tokens are exchanged", "set issuer or token_url: a caller's token goes nowhere that a server names")
	case a.Type == "client_credentials" && (a.ClientID == "" || a.ClientSecret == ""):
		c.hollow(path, "has no client_id and client_secret, which client_credentials is about", "set both")
	case a.ClientSecret != "" && a.ClientID == "":
		c.hollow(path+".client_secret", "belongs to no client_id", "set client_id")
	case a.ClientSecret != "" && !named:
		c.hollow(path+".client_secret", "does not say which authorization server it is for", "set issuer: the secret goes nowhere that a server names")
	case a.Type == "oauth" && a.TokenURL != "":
		c.fault(path+".token_url", "is not enough for oauth, which has an authorization endpoint too", "set issuer in its place")
	case a.Audience != "" && a.Type == "oauth":
		c.fault(path+".audience", "has no meaning with oauth", "set resource")
	}
	for i, scope := range a.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			c.fault(fmt.Sprintf("%s.scopes[%d]", path, i), fmt.Sprintf("%q is not a scope", scope), "write one scope for each entry of the list")
		}
	}
}
