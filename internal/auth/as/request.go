package as

import (
	"net/http"
	"net/url"
	"regexp"
	"time"
)

// request is what a client asks for, as it travels through the browser.
type request struct {
	Client    string   `json:"c"`
	Redirect  string   `json:"r"`
	State     string   `json:"s,omitempty"`
	Challenge string   `json:"h"`
	Scopes    []string `json:"o"`
	Resources []string `json:"a,omitempty"`

	Browser string    `json:"b"`           // digest of the browser's cookie
	Until   time.Time `json:"u"`           // when it ends
	User    string    `json:"n,omitempty"` // who has logged in
	As      time.Time `json:"t,omitzero"`  // when that user had been changed last
	Nonce   string    `json:"1,omitempty"` // makes it hold once
}

// Bounds of a request.
const (
	requestTTL   = 10 * time.Minute
	maxState     = 2048
	maxResources = 8
)

// challengeForm is a SHA-256 in base64url (RFC 7636, 4.2).
var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// refusal is an error of RFC 6749, 4.1.2.1, which the client is told.
type refusal struct{ code, text string }

// readRequest reads what a client asks for, apart from who it is and where it
// wants its users to be sent, which has been checked.
func (s *Server) readRequest(q url.Values) (request, *refusal) {
	for name, values := range q {
		if len(values) > 1 && name != "resource" {
			return request{}, &refusal{"invalid_request", "a parameter is there twice"} // RFC 6749, 3.1
		}
	}
	req := request{
		Client: q.Get("client_id"), Redirect: q.Get("redirect_uri"), State: q.Get("state"), Challenge: q.Get("code_challenge"),
		Resources: q["resource"],
	}
	if len(req.State) > maxState {
		req.State = ""
		return req, &refusal{"invalid_request", "state is too long"}
	}
	if q.Get("response_type") != "code" {
		return req, &refusal{"unsupported_response_type", "response_type has to be code"}
	}
	if q.Has("request") || q.Has("request_uri") {
		return req, &refusal{"request_not_supported", "request objects are not read"}
	}
	if q.Get("code_challenge_method") != "S256" || !challengeForm.MatchString(req.Challenge) {
		return req, &refusal{"invalid_request", "code_challenge with code_challenge_method S256 is needed (RFC 7636)"}
	}
	var ok bool
	if req.Scopes, ok = scopesOf(q.Get("scope")); !ok {
		return req, &refusal{"invalid_scope", "the scopes are mcp, for all servers, and mcp:NAME, for one"}
	}
	if !s.mine(req.Resources) {
		return req, &refusal{"invalid_target", "resource is not this gateway"} // RFC 8707, 2
	}
	return req, nil
}

func (s *Server) mine(resources []string) bool {
	if len(resources) > maxResources {
		return false
	}
	for _, r := range resources {
		if len(r) > maxRedirect || !s.o.Resource(r) {
			return false
		}
	}
	return true
}

// sendBack sends the browser to the client with an answer, of which iss is part
// (RFC 9207, 2). 303 makes it forget the form, and the password in it.
func (s *Server) sendBack(w http.ResponseWriter, r *http.Request, req request, answer url.Values) {
	u, err := url.Parse(req.Redirect)
	if err != nil { // it was checked
		http.Error(w, "redirect_uri is no address", http.StatusBadRequest)
		return
	}
	q := u.Query()
	for name := range answer {
		q.Set(name, answer.Get(name))
	}
	q.Set("iss", s.o.Issuer)
	if req.State != "" {
		q.Set("state", req.State)
	}
	u.RawQuery = q.Encode()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, req request, why refusal) {
	s.sendBack(w, r, req, url.Values{"error": {why.code}, "error_description": {why.text}})
}
