package outbound

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Credential is one way to authenticate, as a section of settings: an API key, a
// name and password, a bearer token, or OAuth2 client credentials.
type Credential struct {
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
	OAuth2 OAuth2 `yaml:"oauth2"`
}

// OAuth2 is a client of an authorization server, with the grant
// client_credentials (RFC 6749 §4.4).
type OAuth2 struct {
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
	// post. Default basic.
	ClientIn string `yaml:"client_in" default:"basic" enum:"basic|post"`
}

func (c *Credential) kind() string {
	switch {
	case c.APIKey != "":
		return "api_key"
	case c.Username != "" || c.Password != "":
		return "basic"
	case c.Bearer != "":
		return "bearer"
	case c.OAuth2.TokenURL != "" || c.OAuth2.ClientID != "":
		return "oauth2"
	}
	return ""
}

// Validate says what is missing.
func (c *Credential) Validate() error {
	given := 0
	for _, there := range []bool{c.APIKey != "", c.Username != "" || c.Password != "", c.Bearer != "", c.OAuth2.TokenURL != "" || c.OAuth2.ClientID != ""} {
		if there {
			given++
		}
	}
	switch {
	case given != 1:
		return server.Errorf("write one of api_key, username and password, bearer, oauth2", "a credential has %d of them", given)
	case c.kind() == "oauth2" && (c.OAuth2.TokenURL == "" || c.OAuth2.ClientID == "" || c.OAuth2.ClientSecret == ""):
		return server.Errorf("write token_url, client_id and client_secret", "oauth2 is not complete")
	case c.kind() == "api_key" && c.Scheme == "" && (c.In == "" || c.Name == ""):
		return server.Errorf("write in and name, or the scheme of the document", "an api_key does not say where it goes")
	case strings.ContainsAny(c.APIKey.Reveal()+c.Bearer.Reveal()+c.Name, "\r\n\x00"):
		return server.Errorf("look for a line break at its end", "a credential has a control character")
	}
	return nil
}

// signer puts one credential into requests.
type signer struct {
	Credential
	client *http.Client
	tokens *backend.Cache[string] // nil unless oauth2
}

// sign puts the credential into a request. It returns the token that it used, for
// renewed; empty when there is none that could be renewed.
func (s *signer) sign(ctx context.Context, req *http.Request) (string, error) {
	switch s.kind() {
	case "basic":
		req.SetBasicAuth(s.Username, s.Password.Reveal())
	case "bearer":
		req.Header.Set("Authorization", "Bearer "+s.Bearer.Reveal())
	case "oauth2":
		token, err := s.tokens.Get(ctx, "token", s.fetch)
		if err != nil {
			return "", fmt.Errorf("get a token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return token, nil
	case "api_key":
		s.key(req)
	}
	return "", nil
}

func (s *signer) key(req *http.Request) {
	switch key := s.APIKey.Reveal(); s.In {
	case "query":
		pair := url.QueryEscape(s.Name) + "=" + url.QueryEscape(key)
		req.URL.RawQuery = strings.TrimPrefix(req.URL.RawQuery+"&"+pair, "&")
	case "cookie":
		cookie := s.Name + "=" + key
		if before := req.Header.Get("Cookie"); before != "" {
			cookie = before + "; " + cookie
		}
		req.Header.Set("Cookie", cookie)
	default:
		req.Header.Set(s.Name, key)
	}
}

// spent forgets a token that was refused, unless another call has a new one by now.
func (s *signer) spent(token string) {
	if now, ok := s.tokens.Peek("token"); ok && now == token {
		s.tokens.Forget("token")
	}
}

const (
	// tokenLead is how long before its end a token is not used any more.
	tokenLead = 30 * time.Second
	// maxToken bounds the answer of an authorization server.
	maxToken = 64 << 10
)

// errToken is wrapped by what goes wrong with an authorization server.
var errToken = errors.New("the authorization server gives no token")

// fetch gets a token and says how long it is good.
func (s *signer) fetch(ctx context.Context) (string, time.Duration, error) {
	o := s.OAuth2
	form := url.Values{"grant_type": {"client_credentials"}}
	for name, value := range map[string]string{"scope": strings.Join(o.Scopes, " "), "audience": o.Audience, "resource": o.Resource} {
		if value != "" {
			form.Set(name, value)
		}
	}
	if o.ClientIn == "post" {
		form.Set("client_id", o.ClientID)
		form.Set("client_secret", o.ClientSecret.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errToken, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if o.ClientIn != "post" {
		// RFC 6749 §2.3.1: both are form-encoded before they are joined.
		pair := url.QueryEscape(o.ClientID) + ":" + url.QueryEscape(o.ClientSecret.Reveal())
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	res, err := s.client.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errToken, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxToken))
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errToken, err)
	}
	var answer struct {
		Token   string  `json:"access_token"`
		Kind    string  `json:"token_type"`
		Seconds float64 `json:"expires_in"`
		Error   string  `json:"error"`
	}
	fault := json.Unmarshal(text, &answer)
	switch {
	case res.StatusCode != http.StatusOK:
		return "", 0, fmt.Errorf("%w: %s %s", errToken, res.Status, plainWord(answer.Error))
	case fault != nil || answer.Token == "" || strings.ContainsAny(answer.Token, "\r\n"):
		return "", 0, fmt.Errorf("%w: the answer has no access_token", errToken)
	case !strings.EqualFold(cmp.Or(answer.Kind, "bearer"), "bearer"):
		return "", 0, fmt.Errorf("%w: its token is of type %q", errToken, plainWord(answer.Kind))
	}
	good := 5 * time.Minute // when it does not say
	if answer.Seconds > 0 {
		good = max(time.Duration(min(answer.Seconds, 86400)*float64(time.Second))-tokenLead, time.Second)
	}
	return answer.Token, good, nil
}

// plainWord is a code of an error, which is letters and _ only.
func plainWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" || len(s) > 60 {
		return "(unreadable)"
	}
	return s
}

// chosen are the signers for an operation that wants one of sets: those without a
// scheme always, and those of the first set of which all are there.
func (s *Sender) chosen(sets [][]string) []*signer {
	var out []*signer
	for _, one := range s.signers {
		if one.Scheme == "" {
			out = append(out, one)
		}
	}
	for _, set := range sets {
		var these []*signer
		for _, name := range set {
			i := slices.IndexFunc(s.signers, func(one *signer) bool { return one.Scheme == name })
			if i >= 0 {
				these = append(these, s.signers[i])
			}
		}
		if len(these) == len(set) {
			return append(out, these...)
		}
	}
	return out
}

// IsToken reports whether an error is that of an authorization server.
func IsToken(err error) bool { return errors.Is(err, errToken) }
