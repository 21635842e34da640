// Package webpage sends the pages on which people log in and agree: they run
// nothing, no other page can frame them, and they are kept nowhere.
//
// It does not know what is on them.
package webpage

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

// Page is a page with a form.
type Page struct {
	Template *template.Template
	// Text is what Template was made of; the style sheet in it is the one that is
	// allowed.
	Text string
	// Goals are where the form may lead to besides here, as sources of
	// Content-Security-Policy: some browsers hold the redirect after a form to
	// form-action too.
	Goals string
}

// Write answers with the page. When it cannot be made of data the answer is
// status 500, and why is returned.
func (p Page) Write(w http.ResponseWriter, status int, data any) error {
	var body bytes.Buffer
	if err := p.Template.Execute(&body, data); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+p.styleDigest()+"'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+p.Goals)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer the form would come with Origin: null
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // a caller that has gone does not want it
	return nil
}

// styleDigest allows the one style sheet that the page has.
func (p Page) styleDigest() string {
	_, rest, _ := strings.Cut(p.Text, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}
