package as

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/auth/webpage"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what is shown to a user: the login, the question, or why it ends.
type page struct {
	Step    string // login, consent or error
	Client  client
	Request request
	Sealed  string
	Problem string
}

// Action is where the forms go.
func (page) Action() string { return PathAuthorize }

// Name is what the client is called, or its id.
func (p page) Name() string {
	if p.Client.Name != "" {
		return p.Client.Name
	}
	return p.Client.ID
}

// Goal is where the user is sent afterwards, in short.
func (p page) Goal() string {
	u, err := url.Parse(p.Request.Redirect)
	if err != nil {
		return ""
	}
	if u.Host != "" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + ":"
}

// Local says whether the user is sent to a program on the own machine, of which
// nobody can know which it is.
func (p page) Local() bool {
	u, err := url.Parse(p.Request.Redirect)
	return err == nil && u.Scheme != "https"
}

// Rights are what is allowed, in words.
func (p page) Rights() []string {
	var rights []string
	for _, scope := range p.Request.Scopes {
		if name, ok := strings.CutPrefix(scope, mint.ScopeServer); ok {
			rights = append(rights, "use the server “"+name+"” as you")
			continue
		}
		rights = append(rights, "use every server that you may use, as you")
	}
	return rights
}

func (s *Server) show(w http.ResponseWriter, p page) {
	status := http.StatusOK
	if p.Problem != "" {
		status = http.StatusUnauthorized
	}
	s.write(w, status, p)
}

// write sends a page that no other can frame, that runs nothing, and whose forms
// go here, and from here to the client.
func (s *Server) write(w http.ResponseWriter, status int, p page) {
	if err := (webpage.Page{Template: pageTemplate, Text: pageText, Goals: p.formGoal()}).Write(w, status, p); err != nil {
		s.o.Log.Error("page cannot be written", "err", err)
	}
}

// formGoal is the client's address as a source of Content-Security-Policy: some
// browsers hold the redirect after a form to form-action too. Its host has only
// characters of hosts (checkRedirect), and a configured one was checked likewise.
func (p page) formGoal() string {
	goal := p.Goal()
	if strings.ContainsAny(goal, " ;,'\"\r\n") {
		return ""
	}
	return goal
}

// answer writes JSON that must not be kept, unless the caller has said otherwise.
func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		body, status = []byte(`{"error":"server_error"}`), http.StatusInternalServerError
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that has gone does not want it
}

func fail(w http.ResponseWriter, status int, code, text string) {
	answer(w, status, map[string]string{"error": code, "error_description": text})
}
