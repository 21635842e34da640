package credential_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret"
)

func TestTheGatewaysOwnTokenIsFetchedOnceForEverybody(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]config.Credential{
		"by issuer":    {Type: "client_credentials", Issuer: "here"},
		"by token_url": {Type: "client_credentials", TokenURL: "here"},
		"post":         {Type: "client_credentials", TokenURL: "here", ClientAuth: "post"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.cfg = cfg
			h.cfg.ClientID, h.cfg.ClientSecret, h.cfg.Scopes = "configured", "s3cret & more", []string{"read", "write"}
			if h.cfg.Issuer != "" {
				h.cfg.Issuer = h.authority.URL
			} else {
				h.cfg.TokenURL = h.authority.URL + "/token"
			}
			r := h.open()
			for round := 1; round <= 2; round++ {
				h.together(25, "corp:alice", "the gateway", r)
				h.together(25, "corp:bob", "the gateway", r)
				if n := h.authority.count("client_credentials"); n != round {
					t.Errorf("in round %d the token endpoint was asked %d times", round, n)
				}
				h.clock.advance(2 * time.Hour)
			}
			h.authority.set(func() {
				form := h.authority.forms[0]
				if form.Get("scope") != "read write" || form.Get("resource") != h.resource.URL+"/mcp" {
					t.Errorf("asked with %v", form)
				}
				if got := form.Get("client_secret"); got != url.QueryEscape("s3cret & more") && cfg.ClientAuth != "post" || cfg.ClientAuth == "post" && got != "s3cret & more" {
					t.Errorf("the secret is %q", got)
				}
			})
		})
	}
}

func TestATokenEndpointThatIsAwayIsLeftInPeace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.cfg = config.Credential{Type: "client_credentials", TokenURL: h.authority.URL + "/token", ClientID: "configured", ClientSecret: "secret"}
	r := h.open()
	h.authority.fault = func(w http.ResponseWriter, _ url.Values) bool { w.WriteHeader(http.StatusBadGateway); return true }
	for range 20 {
		if got := h.says(r, "corp:alice"); !strings.Contains(got, "gives no token now") {
			t.Fatalf("the caller gets %q", got)
		}
	}
	if n := h.authority.count("client_credentials"); n != 1 {
		t.Errorf("it was asked %d times, want 1", n)
	}
	h.authority.set(func() { h.authority.fault = nil })
	h.clock.advance(2 * time.Second)
	if got := h.says(r, "corp:alice"); got != "the gateway" {
		t.Errorf("after a while the server takes the gateway for %q", got)
	}
}

func TestACallersTokenIsExchangedAndGoesNowhereElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.cfg = config.Credential{Type: "exchange", TokenURL: h.authority.URL + "/token", ClientID: "configured", Audience: "billing", Scopes: []string{"read"}}
	r := h.open()
	if got := h.says(r, "corp:alice"); !strings.Contains(got, "you have shown none") {
		t.Errorf("who has shown nothing gets %q", got)
	}
	h.clock.advance(time.Minute)
	const alice, bob = "canary-of-alice", "canary-of-bob"
	shown := func(principal, token string) {
		r.Shown(principal, secret.NewValue([]byte(token)), h.clock.now().Add(3*time.Hour))
	}
	shown("corp:alice", alice)
	shown("corp:bob", bob)
	var all sync.WaitGroup
	for range 25 {
		all.Go(func() { h.together(1, "corp:alice", "exchanged for "+alice, r) })
		all.Go(func() { h.together(1, "corp:bob", "exchanged for "+bob, r) })
	}
	all.Wait()
	const exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	if n := h.authority.count(exchange); n != 2 {
		t.Errorf("tokens were exchanged %d times, want once for each caller", n)
	}
	h.clock.advance(2 * time.Hour)
	h.together(10, "corp:alice", "exchanged for "+alice, r)
	if n := h.authority.count(exchange); n != 3 {
		t.Errorf("after its end the token was exchanged %d times in all, want 3", n)
	}
	h.authority.set(func() {
		form := h.authority.forms[0]
		want := url.Values{
			"grant_type": {exchange}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "client_id": {"configured"},
			"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {"billing"}, "scope": {"read"},
		}
		form.Del("subject_token")
		if form.Encode() != want.Encode() {
			t.Errorf("it was exchanged with %v, want %v", form, want)
		}
	})
	if i := slices.IndexFunc(h.resource.tokens(), func(s string) bool { return strings.Contains(s, "canary") }); i >= 0 {
		t.Errorf("the server has seen what a caller showed to the gateway")
	}
	h.clock.advance(4 * time.Hour)
	if got := h.says(r, "corp:alice"); !strings.Contains(got, "you have shown none") {
		t.Errorf("whose own token has ended gets %q", got)
	}
}

func TestAnExchangeThatIsRefusedIsTheCallersToHear(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.cfg = config.Credential{Type: "exchange", TokenURL: h.authority.URL + "/token", ClientID: "nobody"}
	r := h.open()
	r.Shown("corp:alice", secret.NewValue([]byte("x")), time.Time{})
	got := h.says(r, "corp:alice")
	if !strings.Contains(got, "the exchange was refused (invalid_client)") || strings.Contains(got, "login?link") {
		t.Errorf("the caller gets %q", got)
	}
}
