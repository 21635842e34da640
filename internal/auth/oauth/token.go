package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ClientID is who the gateway is at an authorization server.
type ClientID struct {
	ID     string
	Secret string // empty: none
	// Method is how the secret is shown: basic, post, or auto.
	Method string
}

// Tokens are what a token endpoint gives.
type Tokens struct {
	Access  string
	Refresh string    // empty: none was given
	Expires time.Time // zero: not told
	Scopes  []string  // nil: those that were asked for
}

// Ask asks a token endpoint; form says for what. The error is a *Refusal if the
// authorization server does not want to; after any other it may be asked again.
func (c *Client) Ask(ctx context.Context, place Place, as ClientID, form url.Values) (Tokens, error) {
	req, err := c.form(ctx, place.Token, as, place.Methods, form)
	if err != nil {
		return Tokens{}, err
	}
	began := c.o.Now()
	res, body, err := c.send(req)
	if err != nil {
		return Tokens{}, fmt.Errorf("ask the token endpoint: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return Tokens{}, refusal(res, body)
	}
	return c.tokens(res, body, began)
}

// form makes a request of a form by a client.
func (c *Client) form(ctx context.Context, address string, as ClientID, methods []string, form url.Values) (*http.Request, error) {
	sent := make(url.Values, len(form)+2)
	for name, values := range form {
		sent[name] = values
	}
	basic := as.Secret != "" && as.Method != "post" &&
		(as.Method == "basic" || methods == nil || slices.Contains(methods, "client_secret_basic") || !slices.Contains(methods, "client_secret_post"))
	if !basic {
		sent.Set("client_id", as.ID)
		if as.Secret != "" {
			sent.Set("client_secret", as.Secret)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(sent.Encode()))
	if err != nil {
		return nil, errAddress
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		req.SetBasicAuth(url.QueryEscape(as.ID), url.QueryEscape(as.Secret)) // RFC 6749, 2.3.1
	}
	return req, nil
}

// codes are the refusals of RFC 6749, 5.2, RFC 8707, 2, and RFC 8628, 3.5 that say
// that something is wrong with what was asked. Others, and what comes with them,
// may be the fault of anything on the way.
func isRefusal(code string) bool {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target", "access_denied":
		return true
	}
	return false
}

// refusal reads an answer that is none. Only what the authorization server says in
// its own words counts as its word.
func refusal(res *http.Response, body []byte) error {
	var said struct {
		Error string `json:"error"`
		Text  string `json:"error_description"`
	}
	err := object(res, body, &said)
	if err != nil || res.StatusCode < 400 || res.StatusCode >= 500 || !isRefusal(said.Error) {
		return fmt.Errorf("the token endpoint answers with HTTP %d", res.StatusCode)
	}
	return &Refusal{Code: said.Error, Text: printable(said.Text)}
}

// printable makes the words of others fit for a line of a log.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), 200)]
}

func (c *Client) tokens(res *http.Response, body []byte, began time.Time) (Tokens, error) {
	var said struct {
		Access  string      `json:"access_token"`
		Refresh string      `json:"refresh_token"`
		Kind    string      `json:"token_type"`
		Scope   *string     `json:"scope"`
		Expires json.Number `json:"expires_in"` // some write it as a text
	}
	if err := object(res, body, &said); err != nil {
		return Tokens{}, fmt.Errorf("read the token: %w", err)
	}
	switch {
	case !sendable(said.Access):
		return Tokens{}, errors.New("read the token: it is empty, too long, or cannot be sent in a header")
	case len(said.Refresh) > maxToken:
		return Tokens{}, errors.New("read the token: the refresh token is too long")
	case !strings.EqualFold(said.Kind, "bearer"):
		return Tokens{}, fmt.Errorf("read the token: its type is %.50q, not Bearer", said.Kind)
	}
	t := Tokens{Access: said.Access, Refresh: said.Refresh}
	if seconds, err := said.Expires.Float64(); err == nil && seconds > 0 {
		t.Expires = began.Add(time.Duration(min(seconds, maxLife.Seconds())) * time.Second)
	}
	if said.Scope != nil {
		t.Scopes = strings.Fields(*said.Scope)
	}
	return t, nil
}

// maxLife is the longest that a token is believed to be good for.
const maxLife = 10 * 365 * 24 * time.Hour

// sendable says whether a token can be sent in a header (RFC 6750, 2.1; some
// servers use more characters than that).
func sendable(token string) bool {
	return token != "" && len(token) <= maxToken && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Register makes the gateway a client (RFC 7591).
func (c *Client) Register(ctx context.Context, place Place, about map[string]any) (ClientID, error) {
	body, err := json.Marshal(about)
	if err != nil {
		return ClientID{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, place.Registration, strings.NewReader(string(body)))
	if err != nil {
		return ClientID{}, errAddress
	}
	req.Header.Set("Content-Type", "application/json")
	res, answer, err := c.send(req)
	if err != nil {
		return ClientID{}, fmt.Errorf("register: %w", err)
	}
	if res.StatusCode != http.StatusCreated && res.StatusCode != http.StatusOK {
		return ClientID{}, fmt.Errorf("register: it is answered with HTTP %d", res.StatusCode)
	}
	var said struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		Method string `json:"token_endpoint_auth_method"`
	}
	if err := object(res, answer, &said); err != nil {
		return ClientID{}, fmt.Errorf("register: %w", err)
	}
	if said.ID == "" || len(said.ID) > maxURL || len(said.Secret) > maxToken {
		return ClientID{}, errors.New("register: the answer has no client_id, or one that is too long")
	}
	method := map[string]string{"client_secret_basic": "basic", "client_secret_post": "post"}[said.Method]
	if said.Method == "none" {
		said.Secret = ""
	}
	return ClientID{ID: said.ID, Secret: said.Secret, Method: method}, nil
}

// Revoke gives a token back (RFC 7009); kind is access_token or refresh_token. One
// that the authorization server does not know has been given back.
func (c *Client) Revoke(ctx context.Context, place Place, as ClientID, kind, token string) error {
	req, err := c.form(ctx, place.Revocation, as, place.Methods, url.Values{"token": {token}, "token_type_hint": {kind}})
	if err != nil {
		return err
	}
	res, _, err := c.send(req)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("revoke: it is answered with HTTP %d", res.StatusCode)
	}
	return nil
}
