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
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Secret is a text that does not print itself.
type Secret interface{ Reveal() string }

// Kind is a way to authenticate.
type Kind string

// The kinds, and what of a Credential they use.
const (
	APIKey Kind = "api_key" // Secret, In, Name
	Basic  Kind = "basic"   // Name, Secret
	Bearer Kind = "bearer"  // Secret
	OAuth2 Kind = "oauth2"  // Token
)

// Credential is one way to authenticate.
type Credential struct {
	Kind Kind
	// Scheme is the name that operations know it by; it is then sent with those
	// that want it, and otherwise with every request.
	Scheme string
	Secret Secret
	// In is header, query or cookie.
	In, Name string
	Token    TokenClient
}

// TokenClient is a client of an authorization server, with the grant
// client_credentials (RFC 6749 §4.4).
type TokenClient struct {
	URL, ID, Audience, Resource string
	Secret                      Secret
	Scopes                      []string
	// Post sends the client's id and secret in the form and not as Basic.
	Post bool
}

// signer puts one credential into requests.
type signer struct {
	Credential
	client *http.Client
	tokens *backend.Cache[string] // nil unless oauth2
	drop   sync.Mutex             // held while a token is forgotten
}

// sign puts the credential into a request. It returns the token that it used, for
// renewed; empty when there is none that could be renewed.
func (s *signer) sign(ctx context.Context, req *http.Request) (string, error) {
	switch s.Kind {
	case Basic:
		req.SetBasicAuth(s.Name, s.Secret.Reveal())
	case Bearer:
		req.Header.Set("Authorization", "Bearer "+s.Secret.Reveal())
	case OAuth2:
		token, err := s.tokens.Get(ctx, "token", s.fetch)
		if err != nil {
			return "", fmt.Errorf("get a token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return token, nil
	case APIKey:
		s.key(req)
	}
	return "", nil
}

func (s *signer) key(req *http.Request) {
	switch key := s.Secret.Reveal(); s.In {
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
// Of several calls that were refused together one forgets it: the next could take
// what was fetched in between for it.
func (s *signer) spent(token string) {
	s.drop.Lock()
	defer s.drop.Unlock()
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
	o := s.Token
	form := url.Values{"grant_type": {"client_credentials"}}
	for name, value := range map[string]string{"scope": strings.Join(o.Scopes, " "), "audience": o.Audience, "resource": o.Resource} {
		if value != "" {
			form.Set(name, value)
		}
	}
	if o.Post {
		form.Set("client_id", o.ID)
		form.Set("client_secret", o.Secret.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errToken, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if !o.Post {
		// RFC 6749 §2.3.1: both are form-encoded before they are joined.
		pair := url.QueryEscape(o.ID) + ":" + url.QueryEscape(o.Secret.Reveal())
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
