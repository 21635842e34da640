package credential_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Where both sides know metadata documents the gateway names itself by its own, and
// its cookies are held to its host.
func TestAGatewayWithHTTPSNamesItselfByItsDocument(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = func(m map[string]any) { m["client_id_metadata_document_supported"] = true }
	const base = "https://gw.example"
	h.authority.clients[base+credential.PathClient] = true
	state := openState(t, h.path)
	b := credential.New(credential.Options{
		Base: func() string { return base }, Near: near(), Far: &http.Client{Transport: nowhere{t}}, Now: h.clock.now,
	})
	t.Cleanup(b.Close)
	b.Keep(keeperOf(t, state, h.clock.now))
	b.Server(config.Server{Name: "notes", URL: h.resource.URL + "/mcp", Auth: h.cfg})
	link, err := b.Link(t.Context(), "notes", mcp.Principal{ID: "corp:alice"})
	if err != nil {
		t.Fatal(err)
	}
	// The browser is by hand: gw.example is nowhere.
	var jar []*http.Cookie
	ask := func(method, address, body string, answer func(http.ResponseWriter, *http.Request)) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for _, c := range jar {
			req.AddCookie(c)
		}
		w := httptest.NewRecorder()
		answer(w, req)
		for _, c := range w.Result().Cookies() {
			if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Domain != "" || c.Path != "/" {
				t.Errorf("cookie %s is not held to its host", c.Raw)
			}
			jar = append(jar, c)
		}
		return w
	}
	page := ask(http.MethodGet, link, "", b.Login).Body.String()
	form := url.Values{"form": {hidden.FindStringSubmatch(page)[1]}, "answer": {"go"}}
	sent := ask(http.MethodPost, base+credential.PathLogin, form.Encode(), b.Login)
	goal, err := url.Parse(sent.Header().Get("Location"))
	if err != nil || goal.Query().Get("client_id") != base+credential.PathClient || goal.Query().Get("redirect_uri") != base+credential.PathCallback {
		t.Fatalf("the browser is sent to %v, %v", goal, err)
	}
	res, err := near().Get(goal.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if w := ask(http.MethodGet, res.Header.Get("Location"), "", b.Callback); !shownCode.MatchString(w.Body.String()) {
		t.Errorf("it ends with %d %s", w.Code, w.Body)
	}
	if h.authority.registers != 0 {
		t.Error("it has registered")
	}
	var document struct {
		ID        string   `json:"client_id"`
		Redirects []string `json:"redirect_uris"`
		Method    string   `json:"token_endpoint_auth_method"`
	}
	w := ask(http.MethodGet, base+credential.PathClient, "", b.Client)
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || document.ID != base+credential.PathClient || document.Method != "none" ||
		!slices.Equal(document.Redirects, []string{base + credential.PathCallback}) {
		t.Errorf("its document is %s, %v", w.Body, err)
	}
}
