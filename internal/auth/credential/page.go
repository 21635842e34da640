package credential

import (
	_ "embed"
	"html/template"
	"net/http"

	"github.com/dragoman-mcp/dragoman/internal/auth/webpage"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what is shown to somebody who logs in: the question, that it is done, or
// why it ends.
type page struct {
	Step    string // ask, code, done or error
	Server  string
	Address string // of the server
	Who     string
	User    string // whose password is asked for; empty if none is
	Sealed  string
	Proves  bool   // a code will be shown at the end
	Code    string // that has to be given back
	Problem string
}

// Action is where the form goes.
func (page) Action() string { return PathLogin }

// show sends a page that no other can frame and that runs nothing. Some browsers
// hold what a form leads to to form-action too, and the authorization server may be
// anywhere with https, or on this machine.
func (b *Broker) show(w http.ResponseWriter, status int, p page) {
	if err := (webpage.Page{Template: pageTemplate, Text: pageText, Goals: "https: http://localhost:* http://127.0.0.1:*"}).Write(w, status, p); err != nil {
		b.o.Log.Error("page cannot be written", "err", err)
	}
}

func (b *Broker) stop(w http.ResponseWriter, status int, text string) {
	b.show(w, status, page{Step: "error", Problem: text})
}
