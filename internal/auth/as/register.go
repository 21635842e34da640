package as

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

const (
	// registrationTTL is how long a client that has registered is known. MCP
	// clients register again when they are not.
	registrationTTL = 90 * 24 * time.Hour
	maxRegistration = 32 << 10 // bytes
)

// Register answers POST to the registration endpoint (RFC 7591).
func (s *Server) Register(w http.ResponseWriter, r *http.Request) {
	if !s.o.Config.DynamicRegistration {
		fail(w, http.StatusNotFound, "not_found", "clients do not register here; they name themselves by a metadata document (client_id is its https address)")
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegistration))
	var asked struct {
		client
		Method    string   `json:"token_endpoint_auth_method"`
		Grants    []string `json:"grant_types"`
		Responses []string `json:"response_types"`
	}
	if err != nil || json.Unmarshal(data, &asked) != nil {
		fail(w, http.StatusBadRequest, "invalid_client_metadata", "the body is not JSON of the right form, or too long")
		return
	}
	c := asked.client
	c.ID, c.Website = "dyn-"+rand.Text(), ""
	if err := c.check(); err != nil {
		fail(w, http.StatusBadRequest, "invalid_redirect_uri", err.Error())
		return
	}
	if len(asked.Grants) > 0 && !slices.Contains(asked.Grants, "authorization_code") || len(asked.Responses) > 0 && !slices.Contains(asked.Responses, "code") {
		fail(w, http.StatusBadRequest, "invalid_client_metadata", "the only way to a token is the authorization code")
		return
	}
	full, err := s.full(r)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	if full {
		w.Header().Set("Retry-After", "3600")
		fail(w, http.StatusServiceUnavailable, "temporarily_unavailable", "too many clients have registered; see auth.authorization_server.max_clients")
		return
	}
	text, err := json.Marshal(c)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	now := s.o.Now()
	if err := s.o.State.Clients.Put(r.Context(), store.Client{ID: c.ID, Data: text, Created: now, Expires: now.Add(registrationTTL)}); err != nil {
		s.broken(w, r, err)
		return
	}
	s.o.Log.InfoContext(r.Context(), "client has registered", "client", c.ID, "name", c.Name)
	answer(w, http.StatusCreated, map[string]any{
		"client_id": c.ID, "client_id_issued_at": now.Unix(), "client_name": c.Name, "redirect_uris": c.Redirects,
		"token_endpoint_auth_method": "none", "grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	})
}

// full says whether there is no room for a further client, and removes those
// whose time is over.
func (s *Server) full(r *http.Request) (bool, error) {
	const page = 500
	count, after := 0, ""
	for {
		all, err := s.o.State.Clients.List(r.Context(), after, page)
		if err != nil {
			return false, err
		}
		for _, c := range all {
			after = c.ID
			if !s.removed(r.Context(), c) {
				count++
			}
		}
		if count >= s.o.Config.MaxClients {
			return true, nil
		}
		if len(all) < page {
			return false, nil
		}
	}
}

// removed removes a client whose time is over, and says whether it did.
func (s *Server) removed(ctx context.Context, c store.Client) bool {
	if c.Expires.IsZero() || c.Expires.After(s.o.Now()) {
		return false
	}
	return s.o.State.Clients.Remove(ctx, c.ID) == nil
}
