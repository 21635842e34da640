// Package oauth is what a client says to authorization servers of others: it
// finds out which one a server trusts and where its endpoints are (RFC 9728, RFC
// 8414, OpenID Connect discovery), registers (RFC 7591), and asks for tokens.
//
//	server ──401, or its well-known address──► which authorization server
//	authorization server ──its metadata──► endpoints
//	token endpoint ──code, refresh token, own secret, another token──► tokens
//
// It does not know for whom tokens are, nor where they are kept, and asks nobody
// to log in.
package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// Bounds of what is read of others.
const (
	maxAnswer = 256 << 10 // bytes
	maxToken  = 64 << 10  // characters
	maxURL    = 2048
	// timeout bounds one request, its answer included.
	timeout = 15 * time.Second
)

// Options are what a Client works with.
type Options struct {
	// Near reaches the hosts in Hosts, which the operator has named; they may be
	// anywhere. Far reaches what others name: public addresses only. Neither
	// follows redirects.
	Near, Far *http.Client
	// Hosts are names or addresses, without ports.
	Hosts []string
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Client speaks to authorization servers. It may be used concurrently, and holds
// nothing that must be closed.
type Client struct{ o Options }

// New returns a Client.
func New(o Options) *Client {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{o}
}

// Refusal is the word of an authorization server that it does not do what it was
// asked for, and will not if it is asked again (RFC 6749, 5.2). Any other error
// of a request says nothing about what was asked.
type Refusal struct {
	Code string // as the server wrote it, of the characters that RFC 6749 allows
	Text string // for people, as the server wrote it, shortened; for logs only
}

func (r *Refusal) Error() string {
	if r.Text == "" {
		return "the authorization server refuses: " + r.Code
	}
	return fmt.Sprintf("the authorization server refuses: %s (%s)", r.Code, r.Text)
}

// errAddress is an address that others have named and that is not fetched.
var errAddress = errors.New("it is not an https address")

// send sends a request to where it may go.
func (c *Client) send(req *http.Request) (*http.Response, []byte, error) {
	client, err := c.way(req.URL)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), timeout)
	defer cancel()
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	if len(body) > maxAnswer {
		return nil, nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return res, body, nil
}

// way chooses how an address is reached. What the operator has not named has to be
// public and https: a server could name anything.
func (c *Client) way(u *url.URL) (*http.Client, error) {
	host := strings.ToLower(u.Hostname())
	if host == "" || u.User != nil {
		return nil, errAddress
	}
	if slices.Contains(c.o.Hosts, host) && (u.Scheme == "https" || u.Scheme == "http") {
		return c.o.Near, nil
	}
	if u.Scheme != "https" {
		return nil, errAddress
	}
	return c.o.Far, nil
}

// withoutURL takes the address out of an error of an http.Client: it may have a
// code or a token in it.
func withoutURL(err error) error {
	var ofURL *url.Error
	if errors.As(err, &ofURL) {
		return ofURL.Err
	}
	return err
}

// object reads a JSON object of an answer.
func object(res *http.Response, body []byte, into any) error {
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return errors.New("the answer is not JSON")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("the answer is not JSON of the right form")
	}
	return nil
}

// SafeForBrowser says why a browser must not be sent to an address: it has to be
// https, or http on loopback (2026-07-28, security best practices, "Authorization
// URL Validation").
func SafeForBrowser(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || len(address) > maxURL || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return errors.New("it is no address")
	case u.Scheme == "https", u.Scheme == "http" && config.IsLoopback(u.Hostname()):
		return nil
	}
	return errors.New("it is neither https nor http on loopback")
}
