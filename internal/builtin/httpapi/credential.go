package httpapi

import (
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/server"
)

// credential is one way to authenticate, as a section of settings: an API key, a
// name and password, a bearer token, or OAuth2 client credentials.
type credential struct {
	// Scheme is the name of the security scheme in the document that this is for;
	// it is then sent with the operations that want it. Without it, it is sent
	// with every request.
	Scheme string `yaml:"scheme"`
	// APIKey is sent as In (header, query or cookie) and Name say; a scheme says
	// both itself.
	APIKey server.Secret `yaml:"api_key"`
	In     string        `yaml:"in" enum:"header|query|cookie"`
	Name   string        `yaml:"name"`
	// Username and Password are sent as Basic authentication.
	Username string        `yaml:"username"`
	Password server.Secret `yaml:"password"`
	// Bearer is a token that does not change.
	Bearer server.Secret `yaml:"bearer"`
	// OAuth2 has a token fetched and kept.
	OAuth2 oauth2 `yaml:"oauth2"`
}

// oauth2 is a client of an authorization server.
type oauth2 struct {
	// TokenURL is where the token comes from. It is never taken from a document,
	// which would choose who gets the secret.
	TokenURL     string        `yaml:"token_url"`
	ClientID     string        `yaml:"client_id"`
	ClientSecret server.Secret `yaml:"client_secret"`
	Scopes       []string      `yaml:"scopes"`
	Audience     string        `yaml:"audience"`
	// Resource is the API's URL, for servers that want it (RFC 8707).
	Resource string `yaml:"resource"`
	// ClientIn says how the client authenticates: basic (as RFC 6749 wants it) or
	// post.
	ClientIn string `yaml:"client_in" default:"basic" enum:"basic|post"`
}

// plain is the credential for whoever sends it.
func (c *credential) plain() outbound.Credential {
	out := outbound.Credential{Scheme: c.Scheme, In: c.In, Name: c.Name}
	switch {
	case c.APIKey != "":
		out.Kind, out.Secret = outbound.APIKey, c.APIKey
	case c.Username != "" || c.Password != "":
		out.Kind, out.Name, out.Secret = outbound.Basic, c.Username, c.Password
	case c.Bearer != "":
		out.Kind, out.Secret = outbound.Bearer, c.Bearer
	case c.OAuth2.TokenURL != "" || c.OAuth2.ClientID != "":
		o := c.OAuth2
		out.Kind = outbound.OAuth2
		out.Token = outbound.TokenClient{
			URL: o.TokenURL, ID: o.ClientID, Secret: o.ClientSecret, Scopes: o.Scopes,
			Audience: o.Audience, Resource: o.Resource, Post: o.ClientIn == "post",
		}
	}
	return out
}

// check says what is missing.
func (c *credential) check() error {
	given := 0
	for _, there := range []bool{c.APIKey != "", c.Username != "" || c.Password != "", c.Bearer != "", c.OAuth2.TokenURL != "" || c.OAuth2.ClientID != ""} {
		if there {
			given++
		}
	}
	kind := c.plain().Kind
	switch {
	case given != 1:
		return server.Errorf("write one of api_key, username and password, bearer, oauth2", "a credential has %d of them", given)
	case kind == outbound.OAuth2 && (c.OAuth2.TokenURL == "" || c.OAuth2.ClientID == "" || c.OAuth2.ClientSecret == ""):
		return server.Errorf("write token_url, client_id and client_secret", "oauth2 is not complete")
	case kind == outbound.APIKey && c.Scheme == "" && (c.In == "" || c.Name == ""):
		return server.Errorf("write in and name, or the scheme of the document", "an api_key does not say where it goes")
	case strings.ContainsAny(c.APIKey.Reveal()+c.Bearer.Reveal()+c.Name, "\r\n\x00"):
		return server.Errorf("look for a line break at its end", "a credential has a control character")
	}
	return nil
}
