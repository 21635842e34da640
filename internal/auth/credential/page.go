package credential

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what is shown to somebody who logs in: the question, that it is done, or
// why it ends.
type page struct {
	Step    string // ask, done or error
	Server  string
	Address string // of the server
	Who     string
	User    string // whose password is asked for; empty if none is
	Sealed  string
	Problem string
}

// Action is where the form goes.
func (page) Action() string { return PathLogin }

// show sends a page that no other can frame and that runs nothing. Some browsers
// hold what a form leads to to form-action too, and the authorization server may be
// anywhere with https, or on this machine.
func (b *Broker) show(w http.ResponseWriter, status int, p page) {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p); err != nil {
		b.o.Log.Error("page cannot be written", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleDigest()+"'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https: http://localhost:* http://127.0.0.1:*")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer the form would come with Origin: null
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // a caller that has gone does not want it
}

func (b *Broker) stop(w http.ResponseWriter, status int, text string) {
	b.show(w, status, page{Step: "error", Problem: text})
}

// styleDigest allows the one style sheet that the page has.
func styleDigest() string {
	_, rest, _ := strings.Cut(pageText, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}
