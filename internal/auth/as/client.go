package as

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// client is a program that acts for users. All clients are public: none has a
// secret that it could keep.
type client struct {
	ID        string   `json:"client_id"`
	Name      string   `json:"client_name"`
	Redirects []string `json:"redirect_uris"`
	// Website is the host that vouches for the client, of those that are named by
	// a metadata document; empty for others, who say of themselves what they like.
	Website string `json:"-"`
}

// errClient is a client that is not known, or not as it should be. Its text may
// be shown to users.
var errClient = errors.New("client is not known")

// Bounds of what clients say of themselves.
const (
	maxClientID  = 2048
	maxName      = 100 // characters
	maxRedirects = 20
	maxRedirect  = 2048
)

// find gives a client by its id: a configured one, one that has registered, or
// one whose id is the address of its metadata document.
func (s *Server) find(ctx context.Context, id string) (client, error) {
	if id == "" || len(id) > maxClientID {
		return client{}, fmt.Errorf("%w: it has no id", errClient)
	}
	for _, c := range s.o.Config.Clients {
		if c.ID == id {
			return client{ID: c.ID, Name: c.Name, Redirects: c.RedirectURIs}, nil
		}
	}
	if strings.HasPrefix(id, "https://") {
		return s.documents.get(ctx, id)
	}
	found, err := s.o.State.Clients.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !found.Expires.IsZero() && !found.Expires.After(s.o.Now()):
		return client{}, fmt.Errorf("%w: it has not registered here, or long ago", errClient)
	case err != nil:
		return client{}, fmt.Errorf("read client: %w", err)
	}
	var c client
	if err := json.Unmarshal(found.Data, &c); err != nil {
		return client{}, fmt.Errorf("read client %s: %w", id, err)
	}
	return c, nil
}

// redirects says whether users may be sent to an address: it is one of the
// client's, to the letter. Of http on loopback the port may differ, which an
// app on the user's machine gets when it starts (RFC 8252, 7.3).
func (c client) redirects(address string) bool {
	if slices.Contains(c.Redirects, address) {
		return true // it was checked when it became the client's
	}
	u, err := url.Parse(address)
	if err != nil || checkRedirect(address) != nil || u.Scheme != "http" {
		return false
	}
	return slices.ContainsFunc(c.Redirects, func(known string) bool {
		k, err := url.Parse(known)
		if err != nil || k.Scheme != "http" {
			return false
		}
		k.Host, u.Host = k.Hostname(), u.Hostname()
		return k.String() == u.String()
	})
}

// checkRedirect says why users must not be sent to an address: anything that a
// browser would run, or that others on the way could read.
func checkRedirect(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || len(address) > maxRedirect:
		return errors.New("is not a URL")
	case strings.Contains(address, "#"), u.User != nil:
		return errors.New("has a fragment or a user in it")
	case strings.ContainsFunc(u.Host, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]_", r)
	}):
		return errors.New("has a host that is not one")
	}
	switch u.Scheme {
	case "https":
		if u.Host == "" {
			return errors.New("has no host")
		}
		return nil
	case "http":
		if !config.IsLoopback(u.Hostname()) {
			return errors.New("is http to another machine; use https")
		}
		return nil
	}
	// A scheme of the app's own, which others are least likely to have (RFC 8252,
	// 7.1): those without a dot belong to browsers and systems, all but a few.
	if strings.Contains(u.Scheme, ".") || slices.Contains([]string{"cursor", "vscode", "vscode-insiders", "windsurf", "zed", "claude"}, u.Scheme) {
		return nil
	}
	return fmt.Errorf("has the scheme %q; use https, http on loopback, or a scheme with the name of a domain in it", u.Scheme)
}

// check says what is wrong with what a client says of itself.
func (c *client) check() error {
	if len(c.Redirects) == 0 || len(c.Redirects) > maxRedirects {
		return fmt.Errorf("%w: it has %d redirect_uris, want 1 to %d", errClient, len(c.Redirects), maxRedirects)
	}
	for _, r := range c.Redirects {
		if err := checkRedirect(r); err != nil {
			return fmt.Errorf("%w: its redirect_uri %.200q %w", errClient, r, err)
		}
	}
	c.Name = plain(c.Name)
	return nil
}

// plain makes a name fit to be shown: without characters that hide or turn
// others around, and not too long.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, name)
	if runes := []rune(strings.TrimSpace(name)); len(runes) > maxName {
		return string(runes[:maxName]) + "…"
	}
	return strings.TrimSpace(name)
}
