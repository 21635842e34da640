package credential_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/postgres"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// TestMain is in kill_test.go, where this program is also what is killed.

// clock is a time that tests move.
type clock struct {
	mu    sync.Mutex // guards ahead
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// replica is a gateway, as far as credentials go.
type replica struct {
	*credential.Broker
	server *credential.Server
	web    *webServer
	state  *store.Store
}

// house has replicas that share a store, an authorization server and a server.
type house struct {
	t         *testing.T
	authority *authority
	resource  *resource
	clock     *clock
	path      string
	cfg       config.Credential
	passwords credential.Passwords
	wrap      func(*store.Store)
	dsn       string // of a PostgreSQL database in the place of path
}

func newHouse(t *testing.T) *house {
	a := newAuthority(t)
	return &house{
		t: t, authority: a, resource: newResource(t, a), clock: &clock{}, path: filepath.Join(t.TempDir(), "state.db"),
		cfg: config.Credential{Type: "oauth"},
	}
}

var material = []byte("thirty-two bytes of a secret of a test")

func openState(t *testing.T, path string) *store.Store {
	t.Helper()
	state, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	return state
}

func keeperOf(t *testing.T, state *store.Store, now func() time.Time) credential.Keeper {
	t.Helper()
	wrapper, err := secret.NewLocal(material)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := mint.NewSealer(material)
	if err != nil {
		t.Fatal(err)
	}
	return credential.Keeper{State: state, Box: secret.NewBox(wrapper, state.DataKeys, now), Sealer: sealer}
}

// near reaches everything, and far fails: all that is named here is near.
func near() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type nowhere struct{ t *testing.T }

func (n nowhere) RoundTrip(req *http.Request) (*http.Response, error) {
	n.t.Errorf("%s was fetched, which only a server has named", req.URL)
	return nil, errors.New("nowhere")
}

func (h *house) state() *store.Store {
	h.t.Helper()
	if h.dsn == "" {
		return openState(h.t, h.path)
	}
	network := egress.New(egress.Options{})
	state, err := postgres.Open(h.t.Context(), h.dsn, network)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := errors.Join(state.Close(), network.Close()); err != nil {
			h.t.Error(err)
		}
	})
	return state
}

// open starts a replica.
func (h *house) open() *replica {
	h.t.Helper()
	state := h.state()
	if h.wrap != nil {
		h.wrap(state)
	}
	web := newWebServer(h.t)
	b := credential.New(credential.Options{
		Base: func() string { return web.URL }, Near: near(), Far: &http.Client{Transport: nowhere{h.t}},
		Passwords: func() credential.Passwords { return h.passwords }, Now: h.clock.now,
	})
	b.Keep(keeperOf(h.t, state, h.clock.now))
	web.serve(b)
	h.t.Cleanup(b.Close)
	return &replica{Broker: b, web: web, state: state, server: b.Server(config.Server{Name: "notes", URL: h.resource.URL + "/mcp", Auth: h.cfg})}
}

func as(ctx context.Context, principal string) context.Context {
	return mcp.WithPrincipal(ctx, mcp.Principal{ID: principal})
}

// request is a tool call of a client that can open links, or cannot.
func request(tool string, opensLinks bool) *mcp.Request {
	capabilities := "{}"
	if opensLinks {
		capabilities = `{"elicitation":{"url":{},"form":{}}}`
	}
	declared, _ := jsonrpc.Split([]byte(capabilities))
	params, _ := jsonrpc.Split([]byte(`{"name":"` + tool + `","arguments":{"a":1}}`))
	return &mcp.Request{Method: "tools/call", Name: tool, Params: params, Client: mcp.NewClient(mcp.Revision20260728, nil, declared)}
}

// call calls the server by the way that a gateway does, and gives what it says.
func (h *house) call(r *replica, principal string, req *mcp.Request) (mcp.Result, error) {
	ctx := as(h.t.Context(), principal)
	way := r.server.Transport(mcp.Principal{ID: principal}, near().Transport)
	return r.server.Handler(mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		sent, err := http.NewRequestWithContext(ctx, http.MethodPost, h.resource.URL+"/mcp", strings.NewReader(string(req.Params.Raw())))
		if err != nil {
			return mcp.Result{}, err
		}
		res, err := way.RoundTrip(sent)
		if err != nil {
			return mcp.Result{}, err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			return mcp.Result{}, fmt.Errorf("the server answers with HTTP %d: %w", res.StatusCode, errors.Join(err, errTurnedAway))
		}
		return mcp.RawResult([]byte(`{"who":"` + string(body) + `"}`)), nil
	})).Handle(ctx, req)
}

var errTurnedAway = errors.New("turned away")

// says calls the server and gives for whom it took the caller.
func (h *house) says(r *replica, principal string) string {
	h.t.Helper()
	result, err := h.call(r, principal, request("read", false))
	if err != nil {
		return "error: " + err.Error()
	}
	who, _ := result.String("who")
	return who
}

// browser is somebody's browser.
type browser struct {
	*http.Client
	t *testing.T
}

func newBrowser(t *testing.T) browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{&http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}, t}
}

var hidden = regexp.MustCompile(`name="form" value="([^"]+)"`)

func (b browser) get(address string) (status int, page string) {
	b.t.Helper()
	res, err := b.Get(address)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, res)
}

func read(t *testing.T, res *http.Response) (int, string) {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// submit opens a link and sends its form, and gives the page where that ends.
func (b browser) submit(link string, fields url.Values) (int, string) {
	b.t.Helper()
	status, page := b.get(link)
	form := hidden.FindStringSubmatch(page)
	if form == nil {
		return status, page
	}
	if fields == nil {
		fields = url.Values{"answer": {"go"}}
	}
	fields.Set("form", form[1])
	u, err := url.Parse(link)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.PostForm(u.Scheme+"://"+u.Host+credential.PathLogin, fields)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, res)
}

// linkOf gives the link in the error of a call.
func linkOf(t *testing.T, err error) string {
	t.Helper()
	var wire *mcp.Error
	if !errors.As(err, &wire) || wire.Code != mcp.CodeLegacyURLElicitation {
		t.Fatalf("got error %v, want one that asks to open a link", err)
	}
	data, _ := jsonrpc.Split(wire.Data)
	for element := range jsonrpc.Elements(data.Get("elicitations")) {
		o, _ := jsonrpc.Split(element)
		if link, ok := o.String("url"); ok && strings.Contains(wire.Message, link) {
			return link
		}
	}
	t.Fatalf("error %s %s has no link", wire.Message, wire.Data)
	return ""
}

// login has somebody log in.
func (h *house) login(r *replica, principal, account string) {
	h.t.Helper()
	_, err := h.call(r, principal, request("read", false))
	h.authority.set(func() { h.authority.who = account })
	status, page := newBrowser(h.t).submit(linkOf(h.t, err), nil)
	if status != http.StatusOK {
		h.t.Fatalf("the login of %s ends with %d %s", principal, status, page)
	}
	h.prove(r, principal, page)
}

var shownCode = regexp.MustCompile(`<output>([A-Z2-7]{4}-[A-Z2-7]{4})</output>`)

// codeOn is the code that a page shows.
func codeOn(t *testing.T, page string) string {
	t.Helper()
	found := shownCode.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("there is no code on the page %s", page)
	}
	return found[1]
}

// give has somebody give a code to the tool that logs in, and returns what that says.
func (h *house) give(r *replica, principal, code string) string {
	h.t.Helper()
	req := request("log_in", false)
	arguments, _ := jsonrpc.Split([]byte(`{"code":"` + code + `"}`))
	req.Params = req.Params.With(jsonrpc.Edit{Name: "arguments", Value: arguments.Raw()})
	result, err := h.call(r, principal, req)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(result.Raw())
}

// prove has somebody give the code of the page on which its login ended.
func (h *house) prove(r *replica, principal, page string) {
	h.t.Helper()
	if got := h.give(r, principal, codeOn(h.t, page)); !strings.Contains(got, "You are logged in at notes") {
		h.t.Fatalf("the code of %s is answered with %s", principal, got)
	}
}

func TestEachCallerHasItsOwnToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.login(r, "corp:bob", "bob-at-work")
	var all sync.WaitGroup
	for range 20 {
		for principal, want := range map[string]string{"corp:alice": "alice-at-work", "corp:bob": "bob-at-work"} {
			all.Go(func() {
				if got := h.says(r, principal); got != want {
					t.Errorf("the server takes %s for %q, want %q", principal, got, want)
				}
			})
		}
	}
	all.Wait()
	if got := h.says(r, "corp:carol"); !strings.Contains(got, "/oauth/login?link=") {
		t.Errorf("who has not logged in gets %q, want a link", got)
	}
	if n := h.authority.registers; n != 1 {
		t.Errorf("the gateway registered %d times, want 1", n)
	}
	// What is kept cannot be read by who reads the database.
	all.Wait()
	for c, err := range r.state.Credentials.All(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(c.Ciphertext), "access-") || strings.Contains(string(c.Ciphertext), "refresh-") {
			t.Errorf("a token of %s is readable in the store", c.Principal)
		}
	}
}
