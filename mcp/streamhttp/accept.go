package streamhttp

import (
	"mime"
	"net/http"
	"strings"
)

// accepted is what a client takes as an answer. preferEvents is set when it
// names event streams first.
type accepted struct{ json, events, preferEvents bool }

// readAccept reads the Accept header. Clients must list both media types
// (2026-07-28, basic/transports/streamable-http, "Sending Messages"); one that
// lists nothing takes both, and one that lists a single type gets that.
func readAccept(h http.Header) accepted {
	lines := h["Accept"]
	if len(lines) == 0 {
		return accepted{json: true, events: true}
	}
	if len(lines) == 1 {
		switch lines[0] {
		case "application/json, text/event-stream", "*/*":
			return accepted{json: true, events: true}
		}
	}
	var a accepted
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			a.add(part)
		}
	}
	return a
}

func (a *accepted) add(part string) {
	media, params, _ := strings.Cut(part, ";")
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "q") && strings.Trim(value, "0.") == "" {
			return // q=0: not acceptable (RFC 9110, section 12.4.2)
		}
	}
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "*/*":
		a.json, a.events = true, true
	case mediaJSON, "application/*":
		a.json = true
	case mediaEvents, "text/*":
		a.events = true
		a.preferEvents = !a.json
	}
}

// isJSON reports whether a message's header says that its body is JSON and not
// compressed.
func isJSON(h http.Header) bool {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return false
	}
	return len(h["Content-Type"]) == 1 && isMedia(h["Content-Type"][0], mediaJSON)
}

// isMedia reports whether a Content-Type is of the given media type.
func isMedia(contentType, want string) bool {
	if contentType == want {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == want
}
