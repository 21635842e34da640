package as

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// maxForm bounds the body of a request, in bytes.
const maxForm = 32 << 10

// Authorize answers GET: a client has sent its user here.
//
//	GET   who is the client, where does it want the user back ──► login page
//	POST  login: name and password ──► page of consent, or, if the user allowed
//	      the same client the same not long ago, back to the client with a code
//	POST  allow or deny ──► back to the client
func (s *Server) Authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c, err := s.find(r.Context(), q.Get("client_id"))
	if err != nil {
		s.stop(w, r, http.StatusBadRequest, err)
		return
	}
	if !c.redirects(q.Get("redirect_uri")) {
		// Nobody is sent to an address that is not the client's, not even with an error.
		s.stop(w, r, http.StatusBadRequest, errors.New("the address that the client wants you to be sent to (redirect_uri) is not one of those it has named"))
		return
	}
	req, why := s.readRequest(q)
	if why != nil {
		req.Redirect, req.State = q.Get("redirect_uri"), q.Get("state")
		if len(req.State) > maxState {
			req.State = ""
		}
		s.refuse(w, r, req, *why)
		return
	}
	cookie := rand.Text()
	req.Browser, req.Until = digest(cookie), s.o.Now().Add(requestTTL)
	sealed, err := s.seal(r.Context(), sealLogin, req)
	if err != nil {
		s.stop(w, r, http.StatusInternalServerError, err)
		return
	}
	s.setCookie(w, cookie)
	s.show(w, page{Client: c, Request: req, Sealed: sealed, Step: "login"})
}

// Decide answers POST: the user has filled in one of the pages.
func (s *Server) Decide(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.stop(w, r, http.StatusBadRequest, errors.New("the form cannot be read"))
		return
	}
	step := r.PostForm.Get("step")
	what := map[string]string{"login": sealLogin, "consent": sealConsent}[step]
	req, err := s.goOn(r, what)
	if err != nil {
		s.stop(w, r, http.StatusForbidden, err)
		return
	}
	// The client may have changed since, and its name is shown again.
	c, err := s.find(r.Context(), req.Client)
	if err == nil && !c.redirects(req.Redirect) {
		err = errClient
	}
	if err != nil {
		s.stop(w, r, http.StatusBadRequest, err)
		return
	}
	if r.PostForm.Get("answer") == "deny" {
		s.refuse(w, r, req, refusal{"access_denied", "the user did not allow it"})
		return
	}
	if step == "login" {
		s.login(w, r, c, req)
		return
	}
	s.consent(w, r, req)
}

var (
	errAnotherBrowser = errors.New("this login was begun in another browser, or cookies are off; go back to the client and begin again")
	errTooLate        = errors.New("this login took too long; go back to the client and begin again")
)

// goOn opens what the page carried. It has to be from the same browser: an
// attacker's page cannot make a user go on with a login that it began.
func (s *Server) goOn(r *http.Request, what string) (request, error) {
	var req request
	if what == "" {
		return req, errSealed
	}
	if err := s.open(r.Context(), what, r.PostForm.Get("request"), &req); err != nil {
		return req, err
	}
	cookie, err := r.Cookie(s.cookieName())
	if err != nil || digest(cookie.Value) != req.Browser {
		return req, errAnotherBrowser
	}
	if !s.o.Now().Before(req.Until) {
		return req, errTooLate
	}
	return req, nil
}

func (s *Server) login(w http.ResponseWriter, r *http.Request, c client, req request) {
	user, err := s.o.Users.Verify(r.Context(), r.PostForm.Get("username"), r.PostForm.Get("password"))
	if errors.Is(err, users.ErrRefused) || errors.Is(err, users.ErrDisabled) || errors.Is(err, users.ErrBusy) {
		s.o.Log.InfoContext(r.Context(), "login was refused", "client", c.ID, "err", err)
		s.show(w, page{Client: c, Request: req, Sealed: r.PostForm.Get("request"), Step: "login", Problem: "Wrong user name or password, or too many attempts. Wait a moment before the next."})
		return
	}
	if err != nil {
		s.stop(w, r, http.StatusServiceUnavailable, err)
		return
	}
	req.User, req.As, req.Nonce = user.Name, user.Updated, rand.Text()
	remembered, err := s.allowed(r.Context(), req)
	if err != nil {
		s.stop(w, r, http.StatusServiceUnavailable, err)
		return
	}
	if remembered {
		s.giveCode(w, r, req)
		return
	}
	sealed, err := s.seal(r.Context(), sealConsent, req)
	if err != nil {
		s.stop(w, r, http.StatusInternalServerError, err)
		return
	}
	s.show(w, page{Client: c, Request: req, Sealed: sealed, Step: "consent"})
}

// allowed says whether the user has allowed this client all of this, with this
// redirect URI (2026-07-28, security best practices, "Confused Deputy").
func (s *Server) allowed(ctx context.Context, req request) (bool, error) {
	if s.o.Config.ConsentTTL <= 0 {
		return false, nil
	}
	c, err := s.o.State.Consents.Get(ctx, req.User, req.Client, req.Redirect)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil || !c.Expires.After(s.o.Now()) {
		return false, err
	}
	more := slices.ContainsFunc(req.Scopes, func(scope string) bool { return !slices.Contains(c.Scopes, scope) })
	return !more, nil
}

func (s *Server) consent(w http.ResponseWriter, r *http.Request, req request) {
	if r.PostForm.Get("answer") != "allow" {
		s.stop(w, r, http.StatusBadRequest, errors.New("the form has no answer"))
		return
	}
	if ttl := s.o.Config.ConsentTTL; ttl > 0 {
		err := s.o.State.Consents.Put(r.Context(), store.Consent{
			Subject: req.User, Client: req.Client, Redirect: req.Redirect, Scopes: req.Scopes,
			Granted: s.o.Now(), Expires: s.o.Now().Add(ttl),
		})
		if err != nil {
			s.stop(w, r, http.StatusServiceUnavailable, err)
			return
		}
	}
	s.giveCode(w, r, req)
}

// giveCode sends the user back to the client with a code. The form holds once.
func (s *Server) giveCode(w http.ResponseWriter, r *http.Request, req request) {
	err := s.o.State.Denials.Spend(r.Context(), "oauth-form:"+req.Nonce, req.Until)
	if errors.Is(err, store.ErrConflict) {
		s.stop(w, r, http.StatusBadRequest, errors.New("this form was sent before; go back to the client and begin again"))
		return
	}
	if err != nil {
		s.stop(w, r, http.StatusServiceUnavailable, err)
		return
	}
	code := req
	code.Nonce, code.Until, code.Browser, code.State = rand.Text(), s.o.Now().Add(codeTTL), "", ""
	sealed, err := s.seal(r.Context(), sealCode, code)
	if err != nil {
		s.stop(w, r, http.StatusInternalServerError, err)
		return
	}
	s.o.Log.InfoContext(r.Context(), "user allowed a client", "principal", "user:"+req.User, "client", req.Client)
	s.sendBack(w, r, req, url.Values{"code": {sealed}})
}

// codeTTL is how long a code is good for; RFC 6749, 4.1.2 allows ten minutes.
const codeTTL = time.Minute

// stop tells the user that it does not go on, without sending anybody anywhere.
func (s *Server) stop(w http.ResponseWriter, r *http.Request, status int, err error) {
	text := err.Error()
	if status >= http.StatusInternalServerError || !known(err) {
		s.o.Log.ErrorContext(r.Context(), "authorization failed", "err", err)
		text = "something does not work here; try again in a while"
		status = max(status, http.StatusInternalServerError)
	}
	s.write(w, status, page{Step: "error", Problem: text})
}

// known says whether the text of an error was written for users: those of other
// packages may tell more than strangers should know.
func known(err error) bool {
	return errors.Is(err, errClient) || errors.Unwrap(err) == nil
}

// The cookie binds a login to a browser. It is no login: it says nothing of who
// the user is.
func (s *Server) setCookie(w http.ResponseWriter, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", MaxAge: int(requestTTL / time.Second),
		Secure: s.secure(), HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

func (s *Server) secure() bool { return strings.HasPrefix(s.o.Issuer, "https://") }

// cookieName has the prefix by which browsers see to it that no other host set
// it; on http, which is loopback, they would refuse it.
func (s *Server) cookieName() string {
	if s.secure() {
		return "__Host-dragoman-login"
	}
	return "dragoman-login"
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
