package gcs

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

const (
	metadata = "http://169.254.169.254"
	readOnly = "https://www.googleapis.com/auth/devstorage.read_only"
	writing  = "https://www.googleapis.com/auth/devstorage.read_write"
	// early is how long before its end a token is renewed.
	early = time.Minute
	// lifetime is what is asked for; the service gives no more.
	lifetime = time.Hour
	// asking bounds the request for a token.
	asking = 10 * time.Second
)

// tokens gives access tokens, and keeps the last one. A nil value gives none.
type tokens struct {
	o     Options
	scope string
	key   *account // nil for the metadata service
	turn  chan struct{}

	token string // these are of whoever has the turn
	until time.Time
}

// account is a service account's key.
type account struct {
	Type     string `json:"type"`
	Email    string `json:"client_email"`
	KeyID    string `json:"private_key_id"`
	Key      string `json:"private_key"`
	TokenURI string `json:"token_uri"`
	rsa      *rsa.PrivateKey
}

func newTokens(o Options) (*tokens, error) {
	t := &tokens{o: o, scope: readOnly, turn: make(chan struct{}, 1)}
	if o.Write {
		t.scope = writing
	}
	if o.MetadataEndpoint == "" {
		t.o.MetadataEndpoint = metadata
	}
	switch {
	case o.Credentials != "":
		var err error
		t.key, err = readAccount(o.Credentials)
		return t, err
	case o.Metadata:
		return t, nil
	}
	return nil, nil
}

// readAccount reads a key. Its errors have nothing of it.
func readAccount(text string) (*account, error) {
	var a account
	if json.Unmarshal([]byte(text), &a) != nil {
		return nil, errors.New("the credentials are not JSON: give the content of a service account's key file")
	}
	if a.Type != "service_account" {
		return nil, fmt.Errorf("the credentials are of type %.40q: only keys of service accounts are known here", a.Type)
	}
	at, err := url.Parse(a.TokenURI)
	if err != nil || a.Email == "" || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" {
		return nil, errors.New("the credentials lack client_email or token_uri: give the file as Google made it")
	}
	block, _ := pem.Decode([]byte(a.Key))
	if block == nil {
		return nil, errors.New("the credentials' private_key is not PEM: keep its \\n when you copy it")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the credentials' private_key cannot be read: it is not PKCS #8")
	}
	var ok bool
	if a.rsa, ok = key.(*rsa.PrivateKey); !ok {
		return nil, errors.New("the credentials' private_key is not an RSA key")
	}
	return &a, nil
}

// get gives a token that is good for a minute at least. Others wait while one asks.
func (t *tokens) get(ctx context.Context) (string, error) {
	if t == nil {
		return "", nil
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	now := t.o.Now()
	if t.token != "" && now.Before(t.until) {
		return t.token, nil
	}
	bounded, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	ask := t.fromMetadata
	if t.key != nil {
		ask = t.fromKey
	}
	token, seconds, err := ask(bounded)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = &fault{volume.ErrUnreachable, err}
	}
	if err != nil {
		return "", err
	}
	t.token, t.until = token, now.Add(time.Duration(seconds)*time.Second-early)
	return token, nil
}

// forget drops a token that was refused, and says whether another may be had.
func (t *tokens) forget(token string) bool {
	if t == nil || token == "" {
		return false
	}
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if t.token == token {
		t.token = ""
	}
	return true
}

// fromKey exchanges a signed assertion for a token (RFC 7523).
func (t *tokens) fromKey(ctx context.Context) (string, int, error) {
	now := t.o.Now()
	signed, err := t.key.sign(map[string]any{
		"iss": t.key.Email, "scope": t.scope, "aud": t.key.TokenURI, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
	})
	if err != nil {
		return "", 0, err
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.key.TokenURI, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return exchange(t.o.Transport, r)
}

func (a *account) sign(claims map[string]any) (string, error) {
	head, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": a.KeyID})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.rsa, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign with the service account's key: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func (t *tokens) fromMetadata(ctx context.Context) (string, int, error) {
	at := t.o.MetadataEndpoint + "/computeMetadata/v1/instance/service-accounts/default/token?scopes=" + url.QueryEscape(t.scope)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", 0, err
	}
	r.Header.Set("Metadata-Flavor", "Google")
	return exchange(t.o.MetadataTransport, r)
}

// exchange sends a request for a token. Neither request nor answer is in its errors.
func exchange(transport http.RoundTripper, r *http.Request) (token string, seconds int, err error) {
	a, err := transport.RoundTrip(r)
	if err != nil {
		return "", 0, unreachable(r.Context(), fmt.Errorf("ask %s for a token: %w", r.URL.Host, err))
	}
	defer func() { _ = a.Body.Close() }()
	cause := fmt.Errorf("ask %s for a token: %s", r.URL.Host, a.Status)
	switch {
	case a.StatusCode == http.StatusTooManyRequests, a.StatusCode == http.StatusServiceUnavailable:
		return "", 0, &fault{volume.ErrBusy, cause}
	case a.StatusCode >= http.StatusInternalServerError:
		return "", 0, &fault{volume.ErrUnreachable, cause}
	case a.StatusCode != http.StatusOK:
		return "", 0, &fault{volume.ErrRefused, cause}
	}
	var got struct {
		Token   string `json:"access_token"`
		Seconds int    `json:"expires_in"`
	}
	if err := decode(r.Context(), a.Body, &got); err != nil {
		return "", 0, &fault{volume.ErrUnreachable, err}
	}
	if got.Token == "" || got.Seconds <= 0 {
		return "", 0, &fault{volume.ErrRefused, errors.New("the answer has no token")}
	}
	return got.Token, got.Seconds, nil
}
