package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Goal is a server that a token is wanted for, and what the operator says of it.
type Goal struct {
	// URL of the server.
	URL string
	// Issuer is the authorization server; empty for the one that the server names.
	Issuer string
	// Resource is what the token is for; empty for what the server says, or else its URL.
	Resource string
}

// Place is where tokens for a server are had.
type Place struct {
	Issuer        string
	Authorization string
	Token         string
	Registration  string // empty: clients cannot register
	Revocation    string // empty: tokens cannot be given back
	// Resource is what to name in every request (RFC 8707).
	Resource string
	// Scopes are those that the server asks for; may be none.
	Scopes []string
	// TellsIssuer says that answers in the browser name the issuer (RFC 9207).
	TellsIssuer bool
	// KnowsDocuments says that a client may name itself by a metadata document.
	KnowsDocuments bool
	// Offline says that the scope offline_access is known, which refresh tokens are given for.
	Offline bool
	// Methods are the ways in which clients may show their secrets.
	Methods []string
}

// Discover finds out where tokens for a server are had.
func (c *Client) Discover(ctx context.Context, goal Goal) (Place, error) {
	about, err := c.resource(ctx, goal)
	if err != nil && goal.Issuer == "" {
		return Place{}, err
	}
	issuer := goal.Issuer
	if issuer == "" {
		issuer = about.issuer
	}
	place, err := c.Metadata(ctx, issuer)
	if err != nil && about.guessed && goal.Issuer == "" && errors.Is(err, errNoMetadata) {
		place, err = fallback(issuer), nil
	}
	if err != nil {
		return Place{}, err
	}
	if place.Resource = about.resource; goal.Resource != "" {
		place.Resource = goal.Resource
	}
	place.Scopes = about.scopes
	return place, nil
}

// fallback is where the endpoints of a server are that describes nothing at all
// (2025-03-26, basic/authorization, "Fallbacks for Servers without Metadata
// Discovery").
func fallback(issuer string) Place {
	return Place{Issuer: issuer, Authorization: issuer + "/authorize", Token: issuer + "/token", Registration: issuer + "/register"}
}

// errNoMetadata is an authorization server that is there and describes nothing.
var errNoMetadata = errors.New("there is none")

// resource is what a server says of itself.
type resource struct {
	issuer, resource string
	scopes           []string
	guessed          bool // the issuer is the server itself, which has not said so
}

// resource asks a server which authorization server it trusts: by its challenge,
// else at its well-known addresses (2026-07-28, basic/authorization, "Protected
// Resource Metadata Discovery"). One that says nothing is taken for its own, as
// servers of 2025-03-26 are.
func (c *Client) resource(ctx context.Context, goal Goal) (resource, error) {
	u, err := url.Parse(goal.URL)
	if err != nil {
		return resource{}, errAddress
	}
	u.RawQuery, u.Fragment = "", ""
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	}
	found := resource{resource: u.String()}
	named, scopes := c.challenged(ctx, goal.URL)
	candidates := []string{named}
	if named == "" {
		candidates = []string{wellKnown(u, "oauth-protected-resource", true), wellKnown(u, "oauth-protected-resource", false)}
	}
	for _, address := range candidates {
		var said struct {
			Resource string   `json:"resource"`
			Servers  []string `json:"authorization_servers"`
			Scopes   []string `json:"scopes_supported"`
		}
		if err = c.document(ctx, address, &said); err != nil {
			continue
		}
		if !covers(said.Resource, u) {
			return found, fmt.Errorf("the server's metadata is of another resource, %.200q", said.Resource)
		}
		found.resource, found.scopes = said.Resource, said.Scopes
		if len(said.Servers) == 0 {
			return found, errors.New("the server's metadata names no authorization server")
		}
		found.issuer = said.Servers[0]
		break
	}
	if named != "" && err != nil {
		return found, fmt.Errorf("read the server's metadata: %w", err)
	}
	if found.issuer == "" {
		found.issuer, found.guessed = u.Scheme+"://"+u.Host, true
	}
	if scopes != nil {
		found.scopes = scopes
	}
	return found, nil
}

// covers says whether metadata of a resource is meant for an address: it is the
// address, or leads to it (RFC 9728, 3.3; 2026-07-28, "Canonical Server URI").
func covers(named string, u *url.URL) bool {
	n, err := url.Parse(named)
	if err != nil || !strings.EqualFold(n.Scheme, u.Scheme) || !strings.EqualFold(n.Host, u.Host) || n.RawQuery != "" || n.Fragment != "" {
		return false
	}
	path := strings.TrimSuffix(n.Path, "/")
	return path == strings.TrimSuffix(u.Path, "/") || strings.HasPrefix(u.Path, path+"/")
}

// challenged calls a server without a token, and reads its challenge.
func (c *Client) challenged(ctx context.Context, address string) (metadata string, scopes []string) {
	if rest, ok := strings.CutPrefix(address, "ws"); ok {
		address = "http" + rest
	}
	const body = `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return "", nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	res, _, err := c.send(req)
	if err != nil || res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
		return "", nil
	}
	return Challenge(res.Header)
}

// Challenge reads where a challenge says that metadata is, and which scopes it
// asks for; nil if it does not.
func Challenge(h http.Header) (metadata string, scopes []string) {
	for _, value := range h.Values("WWW-Authenticate") {
		rest, ok := cutScheme(value)
		if !ok {
			continue
		}
		for name, text := range parameters(rest) {
			switch name {
			case "resource_metadata":
				metadata = text
			case "scope":
				scopes = strings.Fields(text)
			}
		}
		return metadata, scopes
	}
	return "", nil
}

// cutScheme cuts off that a challenge is for a bearer token.
func cutScheme(value string) (string, bool) {
	const scheme = "bearer"
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	rest := value[len(scheme):]
	return strings.TrimSpace(rest), rest == "" || rest[0] == ' '
}

// parameters reads the parameters of a challenge (RFC 9110, 11.2), by their names
// in lower case. What cannot be read ends it.
func parameters(text string) map[string]string {
	found := make(map[string]string)
	for text != "" {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			break
		}
		value := ""
		if rest = strings.TrimLeft(rest, " "); strings.HasPrefix(rest, `"`) {
			value, rest = quoted(rest[1:])
			_, rest, _ = strings.Cut(rest, ",")
		} else {
			value, rest, _ = strings.Cut(rest, ",")
			value = strings.TrimSpace(value)
		}
		found[strings.ToLower(strings.TrimSpace(name))] = value
		text = rest
	}
	return found
}

// quoted reads a quoted text up to its end.
func quoted(text string) (value, rest string) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return out.String(), text[i+1:]
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		out.WriteByte(text[i])
	}
	return out.String(), ""
}

// wellKnown is a well-known address of a URL, with its path behind, or for the
// whole host.
func wellKnown(u *url.URL, name string, withPath bool) string {
	out := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/.well-known/" + name}
	if withPath {
		out.Path += strings.TrimSuffix(u.Path, "/")
	}
	return out.String()
}

// document fetches a JSON object.
func (c *Client) document(ctx context.Context, address string, into any) error {
	if len(address) > maxURL {
		return errAddress
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errAddress
	}
	res, body, err := c.send(req)
	if err != nil {
		return err
	}
	switch res.StatusCode {
	case http.StatusOK:
		return object(res, body, into)
	case http.StatusNotFound:
		return errNoMetadata
	}
	return fmt.Errorf("it is answered with HTTP %d", res.StatusCode)
}

// ScopeOffline asks for a refresh token (OpenID Connect Core, 11).
const ScopeOffline = "offline_access"

// metadata is that of an authorization server (RFC 8414, 2).
type metadata struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Registration  string   `json:"registration_endpoint"`
	Revocation    string   `json:"revocation_endpoint"`
	Challenges    []string `json:"code_challenge_methods_supported"`
	Methods       []string `json:"token_endpoint_auth_methods_supported"`
	TellsIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
	Documents     bool     `json:"client_id_metadata_document_supported"`
	Scopes        []string `json:"scopes_supported"`
}

// Metadata finds the endpoints of an authorization server, where 2026-07-28
// ("Authorization Server Metadata Discovery") says that they are described. What
// is described has to be this issuer, to the letter.
func (c *Client) Metadata(ctx context.Context, issuer string) (Place, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Place{}, fmt.Errorf("authorization server %.200q is no address", issuer)
	}
	candidates := []string{wellKnown(u, "oauth-authorization-server", true), wellKnown(u, "openid-configuration", true)}
	if strings.Trim(u.Path, "/") != "" {
		candidates = append(candidates, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	}
	var errs []error
	for _, address := range candidates {
		var said metadata
		if err := c.document(ctx, address, &said); err != nil {
			errs = append(errs, err)
			continue
		}
		if said.Issuer != issuer {
			return Place{}, fmt.Errorf("the metadata of authorization server %s is that of another, %.200q", issuer, said.Issuer)
		}
		return said.place()
	}
	return Place{}, fmt.Errorf("read the metadata of authorization server %.200q: %w", issuer, errors.Join(errs...))
}

func (m metadata) place() (Place, error) {
	if m.Token == "" {
		return Place{}, fmt.Errorf("the metadata of authorization server %s names no token endpoint", m.Issuer)
	}
	if m.Authorization != "" {
		if err := SafeForBrowser(m.Authorization); err != nil {
			return Place{}, fmt.Errorf("the authorization endpoint of %s: %w", m.Issuer, err)
		}
		if !slices.Contains(m.Challenges, "S256") {
			m.Authorization = "" // who logs in there could be robbed of the code
		}
	}
	return Place{
		Issuer: m.Issuer, Authorization: m.Authorization, Token: m.Token, Registration: m.Registration, Revocation: m.Revocation,
		TellsIssuer: m.TellsIssuer, KnowsDocuments: m.Documents, Methods: m.Methods,
		Offline: slices.Contains(m.Scopes, ScopeOffline),
	}, nil
}
