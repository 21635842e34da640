package credential

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// maxForm bounds the body of a form, in bytes.
const maxForm = 32 << 10

// What people are told of what does not go on.
const (
	sayLink    = "The link is not good any more. Go back to your application and ask again."
	sayBrowser = "This login was begun in another browser, or cookies are off. Go back to your application and ask again."
	sayServer  = "This server is not configured any more, or in another way. Go back to your application and ask again."
	sayAway    = "The server's authorization server cannot be used now. Try again later; the operator finds the reason in the gateway's log."
	sayChanged = "Nothing was connected: your user was changed since you gave your password, or cannot be read now. Go back to your application and ask again."
	sayOurs    = "Something does not work here. Try again in a while."
)

// Login answers GET with the question whether to go on, and POST with the way to
// the authorization server:
//
//	GET   link ──► page that says for whom the login is; a cookie binds it to this browser
//	POST  yes, and the password if that person has one ──► authorization server
//	GET   callback ──► tokens, kept for that person
//
// Who was asked has to be who logs in. Somebody could send the link to another, who
// would give them their account (2026-07-28, client/elicitation, "Phishing"): local
// users show their password, others are told whom it is for, and give back a code
// (see proof).
func (b *Broker) Login(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		b.goOn(w, r)
		return
	}
	var l link
	s, ok := b.opened(w, r, sealLink, r.URL.Query().Get("link"), &l)
	if !ok {
		return
	}
	cookie := newID()
	l.Browser = digest(cookie)
	p, err := b.question(r.Context(), s, l)
	if err != nil {
		b.broken(w, r, err)
		return
	}
	b.setCookie(w, formCookie, cookie, http.SameSiteStrictMode)
	b.show(w, http.StatusOK, p)
}

// opened reads a link, or a form that was made of one, and says whether it is good.
func (b *Broker) opened(w http.ResponseWriter, r *http.Request, what, text string, l *link) (*Server, bool) {
	if err := b.open(r.Context(), what, text, l); err != nil || !b.o.Now().Before(l.Until) {
		b.stop(w, http.StatusBadRequest, sayLink)
		return nil, false
	}
	s := b.find(l.Server)
	if s == nil || s.cfg.Type != "oauth" {
		b.stop(w, http.StatusNotFound, sayServer)
		return nil, false
	}
	return s, true
}

// question is the page that asks whether to go on.
func (b *Broker) question(ctx context.Context, s *Server, l link) (page, error) {
	sealed, err := b.seal(ctx, sealForm, l)
	p := page{Step: "ask", Server: s.name, Address: hostOf(s.url), Who: whoIs(l.Principal), Sealed: sealed, Proves: l.proves()}
	if name, ok := strings.CutPrefix(l.Principal, "user:"); ok && b.o.Passwords() != nil {
		p.User, p.Proves = name, false
	}
	return p, err
}

// goOn takes the answer, and leads to the authorization server.
func (b *Broker) goOn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		b.stop(w, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	var l link
	s, ok := b.opened(w, r, sealForm, r.PostForm.Get("form"), &l)
	if !ok {
		return
	}
	if cookie, err := r.Cookie(b.cookieName(formCookie)); err != nil || !same(digest(cookie.Value), l.Browser) {
		b.stop(w, http.StatusForbidden, sayBrowser)
		return
	}
	if r.PostForm.Get("answer") != "go" {
		b.stop(w, http.StatusOK, "Nothing was connected. You can close this window.")
		return
	}
	p, err := b.question(r.Context(), s, l)
	if err != nil {
		b.broken(w, r, err)
		return
	}
	if p.User != "" {
		known := b.o.Passwords()
		if known == nil { // since a moment ago
			b.stop(w, http.StatusForbidden, sayLink)
			return
		}
		user, err := known.Verify(r.Context(), p.User, r.PostForm.Get("password"))
		if err != nil {
			b.o.Log.InfoContext(r.Context(), "login at a server was refused", "principal", l.Principal, "server", l.Server, "err", err)
			p.Problem = "Wrong password, or too many attempts. Wait a moment before the next."
			b.show(w, http.StatusUnauthorized, p)
			return
		}
		if l.Proven = true; !user.Updated.IsZero() {
			l.As = user.Updated.UnixNano()
		}
	}
	b.send(w, r, s, l)
}

// send sends the browser to the authorization server, with a cookie that brings it
// back: what is in the cookie never leaves the browser and the gateway, and state
// only says which cookie it is.
func (b *Broker) send(w http.ResponseWriter, r *http.Request, s *Server, l link) {
	ctx := r.Context()
	callback := b.o.Base() + PathCallback
	place, err := s.client.Discover(ctx, oauth.Goal{URL: s.url, Issuer: s.cfg.Issuer, Resource: s.cfg.Resource})
	if err == nil && place.Authorization == "" {
		err = errors.New("it has no authorization endpoint with PKCE S256 (code_challenge_methods_supported)")
	}
	var client oauth.ClientID
	if err == nil {
		client, err = s.clientAt(ctx, place, callback)
	}
	if err != nil {
		s.log.WarnContext(ctx, "nobody can log in at the server", "err", err)
		b.stop(w, http.StatusBadGateway, sayAway)
		return
	}
	verifier, challenge := newVerifier()
	f := flow{
		Link: l, State: newID(), Verifier: verifier, Issuer: place.Issuer, TellsIss: place.TellsIssuer, Token: place.Token, Revoke: place.Revocation,
		Methods: place.Methods, Resource: place.Resource, Scopes: s.scopes(place, l), ClientID: client.ID, URL: s.url, Callback: callback,
		Until: b.o.Now().Add(linkTTL),
	}
	sealed, err := b.seal(ctx, sealFlow, f)
	if err != nil {
		b.broken(w, r, err)
		return
	}
	u, err := url.Parse(place.Authorization)
	if err != nil {
		b.broken(w, r, err)
		return
	}
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": client.ID, "redirect_uri": callback, "state": f.State,
		"code_challenge": challenge, "code_challenge_method": "S256", "resource": place.Resource, "scope": strings.Join(f.Scopes, " "),
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if slices.Contains(f.Scopes, oauth.ScopeOffline) {
		q.Set("prompt", "consent") // OpenID Connect Core, 11
	}
	u.RawQuery = q.Encode()
	b.setCookie(w, flowCookie(f.State), sealed, http.SameSiteLaxMode) // comes along when the authorization server leads back
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

// scopes are those to ask for.
func (s *Server) scopes(place oauth.Place, l link) []string {
	scopes := slices.Clone(s.cfg.Scopes)
	if len(scopes) == 0 {
		scopes = slices.Clone(place.Scopes)
	}
	scopes = append(scopes, l.Scopes...)
	if place.Offline && len(scopes) > 0 {
		scopes = append(scopes, oauth.ScopeOffline)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// Callback answers where the authorization server leads back to.
func (b *Broker) Callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for _, values := range q {
		if len(values) > 1 { // RFC 6749, 3.1
			b.stop(w, http.StatusBadRequest, sayLink)
			return
		}
	}
	var f flow
	state := q.Get("state")
	cookie, err := r.Cookie(b.cookieName(flowCookie(state)))
	if err != nil || b.open(r.Context(), sealFlow, cookie.Value, &f) != nil || !same(f.State, state) {
		b.stop(w, http.StatusForbidden, sayBrowser)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: b.cookieName(flowCookie(state)), Path: "/", MaxAge: -1, Secure: b.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	if !b.o.Now().Before(f.Until) {
		b.stop(w, http.StatusBadRequest, sayLink)
		return
	}
	// An answer that is not the issuer's is not even shown (RFC 9207, 2.4; 2026-07-28,
	// basic/authorization, "Authorization Response Validation").
	if iss := q.Get("iss"); iss != f.Issuer && (q.Has("iss") || f.TellsIss) {
		b.o.Log.WarnContext(r.Context(), "login at a server was answered by another than was asked", "server", f.Link.Server, "principal", f.Link.Principal)
		b.stop(w, http.StatusForbidden, "The answer is not from the authorization server that was asked. Nothing was connected.")
		return
	}
	s := b.find(f.Link.Server)
	if s == nil || s.url != f.URL || s.cfg.Type != "oauth" {
		b.stop(w, http.StatusNotFound, sayServer)
		return
	}
	if q.Has("error") || q.Get("code") == "" {
		b.stop(w, http.StatusOK, "The authorization server did not allow it. Nothing was connected.")
		return
	}
	b.finish(w, r, s, f)
}

// finish gets tokens for the code, and keeps them.
func (b *Broker) finish(w http.ResponseWriter, r *http.Request, s *Server, f flow) {
	ctx := r.Context()
	err := b.keeper.Load().State.Denials.Spend(ctx, "credential-login:"+f.Link.Nonce, f.Until.Add(linkTTL))
	if errors.Is(err, store.ErrConflict) {
		b.stop(w, http.StatusBadRequest, "This link was used before. Go back to your application and ask again.")
		return
	}
	if err != nil {
		b.broken(w, r, err)
		return
	}
	who := whoIs(f.Link.Principal)
	c := credential{
		Server: s.name, Issuer: f.Issuer, Resource: f.Resource, Token: f.Token, Revoke: f.Revoke, Methods: f.Methods, Scopes: f.Scopes,
		Login: newID(),
	}
	if c.Client, err = s.identity(ctx, f); err != nil {
		b.broken(w, r, err)
		return
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {r.URL.Query().Get("code")}, "redirect_uri": {f.Callback}, "code_verifier": {f.Verifier}}
	if f.Resource != "" {
		form.Set("resource", f.Resource)
	}
	tokens, err := s.client.Ask(ctx, c.place(), c.Client, form)
	var refusal *oauth.Refusal
	if errors.As(err, &refusal) && refusal.Code == "invalid_client" && s.cfg.ClientID == "" {
		b.forgetRegistration(ctx, f.Issuer)
	}
	if err != nil {
		s.log.WarnContext(ctx, "login at the server gave no token", "principal", who, "err", err)
		b.stop(w, http.StatusBadGateway, sayAway)
		return
	}
	c.Access, c.Refresh, c.Expires, c.Obtained = tokens.Access, tokens.Refresh, tokens.Expires, b.o.Now()
	if tokens.Scopes != nil {
		c.Scopes = tokens.Scopes
	}
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	done := page{Step: "done", Server: s.name, Who: who}
	if same, err := b.unchanged(keeping, f.Link); err != nil || !same {
		s.takeBackLater(ctx, who, c)
		s.log.WarnContext(ctx, "login at the server is not kept, since the user was changed meanwhile", "principal", who, "err", err)
		b.stop(w, http.StatusForbidden, sayChanged)
		return
	}
	if f.Link.proves() {
		done.Step = "code"
		done.Code, err = s.putAside(keeping, who, c)
	} else {
		err = s.keep(keeping, who, c)
	}
	if err != nil {
		b.broken(w, r, err)
		return
	}
	b.show(w, http.StatusOK, done)
}

// unchanged says whether the local user who gave a password for a link is as then.
func (b *Broker) unchanged(ctx context.Context, l link) (bool, error) {
	name, local := strings.CutPrefix(l.Principal, "user:")
	if l.As == 0 || !local {
		return true, nil // no password was given
	}
	return users.Unchanged(ctx, b.keeper.Load().State.Users, name, time.Unix(0, l.As))
}

// identity is who the gateway was when the login began.
func (s *Server) identity(ctx context.Context, f flow) (oauth.ClientID, error) {
	if s.cfg.ClientID != "" || f.ClientID == s.broker.o.Base()+PathClient {
		id := s.configured()
		id.ID = f.ClientID
		return id, nil
	}
	k, err := s.broker.vault.load(ctx, registrar, registration(f.Issuer, f.Callback))
	if err == nil && k.Client.ID != f.ClientID {
		err = errors.New("the gateway has registered anew meanwhile")
	}
	return k.Client, err
}

func (b *Broker) broken(w http.ResponseWriter, r *http.Request, err error) {
	b.o.Log.ErrorContext(r.Context(), "login at a server failed", "err", err)
	b.stop(w, http.StatusServiceUnavailable, sayOurs)
}

// formCookie binds a page to the browser that it was shown in.
const formCookie = "dragoman-connect"

// flowCookie is the cookie of one login; several may be under way in a browser.
func flowCookie(state string) string { return "dragoman-flow-" + digest(state)[:12] }

// cookieName has the prefix by which browsers see to it that no other host set it;
// on http, which is loopback, they would refuse it.
func (b *Broker) cookieName(name string) string {
	if b.secure() {
		return "__Host-" + name
	}
	return name
}

func (b *Broker) setCookie(w http.ResponseWriter, name, value string, site http.SameSite) {
	http.SetCookie(w, &http.Cookie{
		Name: b.cookieName(name), Value: value, Path: "/", MaxAge: int(linkTTL / time.Second),
		Secure: b.secure(), HttpOnly: true, SameSite: site,
	})
}
