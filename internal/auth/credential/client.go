package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// registrar stands for the gateway among those who have credentials: what it has
// is who it is at authorization servers where it has registered.
const registrar = "gateway:registrations"

// registration is the row of a registration: it is for one issuer and one callback.
func registration(issuer, callback string) string { return rowOf("registration", issuer+" "+callback) }

// client is who the gateway is at an authorization server: by configuration, by its
// metadata document, or by registration, in this order (2026-07-28,
// basic/authorization, "Client Registration Approaches").
func (s *Server) clientAt(ctx context.Context, place oauth.Place, callback string) (oauth.ClientID, error) {
	base := s.broker.o.Base()
	switch {
	case s.cfg.ClientID != "":
		return s.configured(), nil
	case place.KnowsDocuments && strings.HasPrefix(base, "https://"):
		return oauth.ClientID{ID: base + PathClient}, nil
	case place.Registration == "":
		return oauth.ClientID{}, fmt.Errorf("authorization server %s registers no clients: set auth.client_id", place.Issuer)
	}
	row := registration(place.Issuer, callback)
	k, err := s.broker.vault.load(ctx, registrar, row)
	if err == nil && k.Client.ID != "" {
		return k.Client, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return oauth.ClientID{}, fmt.Errorf("read registration: %w", err)
	}
	id, err := s.client.Register(ctx, place, about(base))
	if err != nil {
		return oauth.ClientID{}, err
	}
	if _, err := s.broker.vault.replace(ctx, registrar, row, credential{Issuer: place.Issuer, Client: id}); err != nil {
		return oauth.ClientID{}, fmt.Errorf("keep registration: %w", err)
	}
	return id, nil
}

// forgetRegistration lets the gateway register anew where its registration is gone.
func (b *Broker) forgetRegistration(ctx context.Context, issuer string) {
	err := b.keeper.Load().State.Credentials.Remove(ctx, registrar, registration(issuer, b.o.Base()+PathCallback))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		b.o.Log.WarnContext(ctx, "registration cannot be forgotten", "issuer", issuer, "err", err)
	}
}

// about is what the gateway says of itself as a client. It runs on one machine of
// its operator's and has a page where users come back: a web application.
func about(base string) map[string]any {
	kind := "web"
	if !strings.HasPrefix(base, "https://") {
		kind = "native" // OpenID Connect registration lets only these come back by http
	}
	return map[string]any{
		"client_name": "Dragoman", "redirect_uris": []string{base + PathCallback}, "application_type": kind,
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
		"token_endpoint_auth_method": "none",
	}
}

// Client answers with the gateway's metadata document, by which it names itself.
func (b *Broker) Client(w http.ResponseWriter, _ *http.Request) {
	base := b.o.Base()
	document := about(base)
	document["client_id"], document["client_uri"] = base+PathClient, base
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age=300")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) // a caller that has gone does not want it
}
