package config

import (
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
)

// Auth says who may call. Every way that is configured here counts: a caller needs one of them. With none at all every
// caller that reaches the listener may, which is why listening beyond loopback is then refused.
type Auth struct {
	// Fixed bearer tokens. A caller sends one of them as "Authorization: Bearer TOKEN".
	Tokens []Token `yaml:"tokens"`
	// Identity providers whose access tokens (JWT) are accepted.
	Issuers []Issuer `yaml:"issuers" aka:"issuer,oidc,jwt,oauth"`
	// Client certificates (mTLS). They take tls.client_ca.
	Certificates Certificates `yaml:"certificates" aka:"mtls"`
	// API keys, which are made with dragoman token create and sent like fixed tokens.
	Keys APIKeys `yaml:"keys" aka:"api_keys"`
	// Local users, who log in with a password at POST /token.
	Passwords Passwords `yaml:"passwords" aka:"users,password"`
	// The built-in authorization server, where MCP clients send their users to log in. For small teams: who has an
	// identity provider names it in issuers instead.
	Server AuthorizationServer `yaml:"authorization_server" aka:"oauth_server"`
}

// Token is one fixed bearer token and the name of who holds it.
type Token struct {
	// Name of the caller, as logs and metrics show it.
	Name string `yaml:"name" required:"true" example:"laptop"`
	// The token: at least 16 characters of A-Z, a-z, 0-9 and -._~+/. Best kept out of the file, as in ${LAPTOP_TOKEN}
	// or ${file:/run/secrets/laptop}. One can be made with: openssl rand -hex 32
	Token Secret `yaml:"token" required:"true" example:"${LAPTOP_TOKEN}"`
	// Roles of the caller, by which policies decide. When empty they are access.default_roles.
	Roles []string `yaml:"roles" aka:"role" list:"or-text" example:"[admin]"`
}

// Issuer is one identity provider whose access tokens are accepted. Its metadata and keys are found by its URL and kept
// up to date. Tokens are checked for signature, algorithm, issuer, audience, type and time.
type Issuer struct {
	// Short name: 1 to 32 characters of a-z, 0-9, _ and -. Callers are called NAME:SUBJECT in logs and policies.
	Name string `yaml:"name" required:"true" example:"corp"`
	// The issuer, exactly as its tokens say it in iss. https, or http on loopback.
	URL string `yaml:"url" required:"true" aka:"issuer,iss" example:"https://login.example.org/realms/staff"`
	// What tokens must name in aud, one of these. When empty it is the address that was called, as clients of MCP ask
	// for it (RFC 8707): https://mcp.example.org/mcp for all servers, https://mcp.example.org/mcp/files for one, which
	// then is all that the token is good for. What is named here is good for everything.
	Audience []string `yaml:"audience" aka:"audiences,aud" list:"or-text" example:"[https://mcp.example.org/mcp]"`
	// Signature algorithms that are accepted: EdDSA, ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512. When
	// empty they are EdDSA, ES256 and RS256. With secret they are HS256, HS384 and HS512, and HS256 when empty.
	Algorithms []string `yaml:"algorithms" aka:"algs,alg" list:"or-text" example:"[RS256]"`
	// Types of token (typ) that are accepted. at+jwt, the type of access tokens (RFC 9068), is the only one when empty.
	// Providers that do not know it write JWT: add it for those. ID tokens are refused in either case.
	Types []string `yaml:"types" aka:"typ,type" list:"or-text" example:"[at+jwt, JWT]"`
	// Scopes that a token must have, all of them. A token without is answered with 403 and what is missing.
	Scopes []string `yaml:"scopes" aka:"scope,required_scopes" list:"or-text" example:"[mcp]"`
	// Address of the keys (JWK set). When empty it is found through the issuer's metadata (OpenID Connect discovery or
	// RFC 8414).
	JWKSURL string `yaml:"jwks_url" aka:"jwks_uri,jwks" example:"https://login.example.org/keys"`
	// Secret that is shared with the issuer, for HS256 and its kind only, instead of keys. At least as long as the digest
	// and not made of words, since everybody who holds a token can try to guess it.
	Secret Secret `yaml:"secret" example:"${ISSUER_SECRET}"`
	// How the issuer is asked about tokens that are no JWT (RFC 7662). Without a url there such tokens are refused.
	Introspection Introspection `yaml:"introspection" aka:"introspect"`
	// How far the clocks may differ.
	Leeway time.Duration `yaml:"leeway" default:"30s" min:"0s" max:"60s"`
	// Which claims say what of the caller.
	Claims ClaimNames `yaml:"claims"`
	// Roles by what the issuer calls them, in the claims roles and groups. What is not named here gives no role: an
	// issuer's word "admin" makes nobody an administrator of the gateway.
	Roles map[string]string `yaml:"roles" aka:"role_map" example:"{mcp-admins: admin, staff: user}"`
	// Roles that every caller of this issuer has.
	DefaultRoles []string `yaml:"default_roles" list:"or-text" example:"[user]"`
}

// Introspection is how an issuer is asked about opaque tokens. Its answer is held to the same as a JWT: audience, scopes,
// issuer, type and time. One issuer can have it, since such a token does not say whose it is.
type Introspection struct {
	// The introspection endpoint, as the issuer's metadata names it. https, or http on loopback.
	URL string `yaml:"url" aka:"endpoint,introspection_endpoint" example:"https://login.example.org/introspect"`
	// Who the gateway is there.
	ClientID string `yaml:"client_id" example:"dragoman"`
	// Secret of that client.
	ClientSecret Secret `yaml:"client_secret" example:"${file:/run/secrets/introspection}"`
	// How the secret is sent: basic (HTTP Basic) or post (in the form).
	Method string `yaml:"method" default:"basic" enum:"basic|post"`
	// How long an answer is believed: a token that the issuer revokes is refused that much later at most.
	CacheTTL time.Duration `yaml:"cache_ttl" default:"5s" min:"1s" max:"30s" aka:"ttl"`
}

// ClaimNames are names of claims. A name with dots leads into objects: realm_access.roles.
type ClaimNames struct {
	// What people call the caller.
	Name string `yaml:"name" default:"preferred_username"`
	// Roles, as a list or one text.
	Roles string `yaml:"roles" default:"roles" example:"realm_access.roles"`
	// Groups, as a list or one text. Policies see all of them.
	Groups string `yaml:"groups" default:"groups"`
	// Names of servers that the token is bound to. When empty, or when the claim is not there, it is not bound.
	Servers string `yaml:"servers"`
}

// Certificates says what client certificates are worth.
type Certificates struct {
	// Whether a certificate that tls.client_ca vouches for says who calls.
	Enabled bool `yaml:"enabled" default:"false"`
	// Roles of every caller with a certificate.
	Roles []string `yaml:"roles" list:"or-text" example:"[user]"`
	// Names (from the certificate: its only URI, else its only e-mail address, else its only DNS name) that are let in;
	// * stands for any characters and ? for one. When empty, everybody that the authority vouches for is.
	Names []string `yaml:"names" example:"[\"spiffe://example.org/agents/*\"]"`
}

// APIKeys says whether API keys let their holders in. What each is good for is kept with it, in state.
type APIKeys struct {
	// Whether they do.
	Enabled bool `yaml:"enabled" default:"false"`
}

// Passwords says whether local users can log in. Users are made with dragoman user add.
type Passwords struct {
	// Whether POST /token takes a name and a password (the OAuth 2 password form) and gives a token for them.
	Enabled bool `yaml:"enabled" default:"false"`
	// How long such a token is good for. It can be revoked before.
	TokenTTL time.Duration `yaml:"token_ttl" default:"30m" min:"1m" max:"24h"`
	// Algorithm of the tokens that the gateway signs, here and in authorization_server.
	Algorithm string `yaml:"algorithm" default:"EdDSA" enum:"EdDSA|ES256"`
	// How long a signing key signs. The next one is published an hour before, and the old one verifies until its last
	// token has expired.
	KeyAge time.Duration `yaml:"key_age" default:"720h" min:"2h" max:"8760h"`
}

// AuthorizationServer is the built-in authorization server (OAuth 2.1: authorization code with PKCE S256). Its users are
// the local users. It takes public_url, or a loopback listener.
type AuthorizationServer struct {
	// Whether it answers.
	Enabled bool `yaml:"enabled" default:"false"`
	// Whether clients may register themselves (RFC 7591). Clients that name themselves by a metadata document need not.
	// When true, anybody who reaches the gateway can add an entry; each user still has to allow each client.
	DynamicRegistration bool `yaml:"dynamic_registration" default:"false" aka:"dcr"`
	// Most clients that registered themselves. When it is reached, further ones are refused.
	MaxClients int `yaml:"max_clients" default:"1000" min:"1" max:"100000"`
	// Clients that are known beforehand.
	Clients []OAuthClient `yaml:"clients"`
	// How long an access token is good for.
	AccessTTL time.Duration `yaml:"access_ttl" default:"10m" min:"1m" max:"1h"`
	// How long a client can get new access tokens without asking its user. Each refresh token works once; one that comes
	// a second time ends all that came of the login.
	RefreshTTL time.Duration `yaml:"refresh_ttl" default:"720h" min:"1h" max:"8760h"`
	// How long a user's allowance for a client is remembered. Then the page asks again. 0 asks every time.
	ConsentTTL time.Duration `yaml:"consent_ttl" default:"720h" min:"0s" max:"8760h"`
}

// OAuthClient is a client that is known beforehand.
type OAuthClient struct {
	// Its client_id.
	ID string `yaml:"id" required:"true" aka:"client_id" example:"desktop"`
	// Name that users are shown.
	Name string `yaml:"name" required:"true" example:"Desktop app"`
	// Where users are sent back to, exactly. https, or http on loopback (any port), or a scheme of the app's own.
	RedirectURIs []string `yaml:"redirect_uris" required:"true" aka:"redirects" example:"[http://127.0.0.1/callback]"`
}

// TLS is the gateway's own TLS. Without a certificate it answers in clear text, for example behind a proxy that has one.
type TLS struct {
	// File with the certificate and those that lead to an authority, PEM. Read again at each reload.
	Cert string `yaml:"cert" path:"true" aka:"certificate,cert_file" example:"/etc/dragoman/tls.crt"`
	// File with the private key, PEM.
	Key string `yaml:"key" path:"true" aka:"key_file,private_key" example:"/etc/dragoman/tls.key"`
	// File with the authorities that vouch for client certificates, PEM.
	ClientCA string `yaml:"client_ca" path:"true" aka:"client_ca_file,ca" example:"/etc/dragoman/clients.crt"`
	// Files with the authorities' lists of revoked certificates, PEM or DER. They are read again when they change. Each client's authority
	// needs one that has not ended.
	ClientCRL []string `yaml:"client_crl" path:"true" aka:"client_crl_file,crl" example:"[/etc/dragoman/clients.crl]"`
	// Whether a connection without a client certificate is refused. Otherwise such a caller needs another way in.
	RequireClientCert bool `yaml:"require_client_cert" default:"false"`
}

// Guarded says whether there is any way to show who calls, without which everybody may.
func (a Auth) Guarded() bool {
	return len(a.Tokens) > 0 || len(a.Issuers) > 0 || a.Certificates.Enabled || a.Keys.Enabled || a.Passwords.Enabled || a.Server.Enabled
}

// Admits says whether the name in a certificate is let in.
func (c Certificates) Admits(name string) bool {
	return len(c.Names) == 0 || pattern.Match(c.Names, name)
}
