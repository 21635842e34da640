package httpsse

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"
)

// Message answers the POST of a client that has something to say on its
// session. "Accepted" means that the message was read; its answer, if there is
// one, comes on the stream.
func (s *Server) Message(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuseMethod(w, "POST")
		return
	}
	if why := refuseContent(r.Header); why != "" {
		http.Error(w, why, http.StatusUnsupportedMediaType)
		return
	}
	c, ok := s.find(r.Context(), r.URL.Query().Get(sessionKey))
	if !ok {
		refuseSession(w)
		return
	}
	late := time.NewTimer(s.o.QueueTimeout)
	defer late.Stop()
	select {
	case c.posts <- struct{}{}:
		defer func() { <-c.posts }()
	case <-c.done:
		refuseSession(w)
		return
	case <-r.Context().Done():
		return
	case <-late.C:
		refuseForNow(w, "too many messages of this session wait; send this one again")
		return
	}
	message, err := s.body(w, r)
	if err != nil {
		refuseBody(w, err)
		return
	}
	late.Reset(s.o.QueueTimeout)
	select {
	case c.in <- message:
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte("Accepted"))
	case <-c.done:
		refuseSession(w)
	case <-r.Context().Done():
	case <-late.C:
		refuseForNow(w, "the message was not read in time; send it again")
	}
}

// refuseContent says why a body of that type is not taken, "" if it is. Other
// types can be sent across origins without the browser asking first.
func refuseContent(header http.Header) string {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	charset := params["charset"]
	switch {
	case err != nil || kind != "application/json":
		return "the Content-Type must be application/json"
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return "the charset must be utf-8"
	case header.Get("Content-Encoding") != "":
		return "the body must have no Content-Encoding"
	}
	return ""
}

func refuseSession(w http.ResponseWriter) {
	http.Error(w, "there is no such session, or it has ended; open one with GET", http.StatusNotFound)
}

// errNotMessage is why a body was not taken that no reader would take.
var errNotMessage = errors.New("the body must be a JSON-RPC message")

func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := s.o.MaxBodyBytes
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	// Where deadlines are not supported, the server's own read timeout is the bound.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(s.o.BodyTimeout))
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0)+bytes.MinRead, 64<<10)))
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, err
	}
	_ = rc.SetReadDeadline(time.Time{})
	if text := bytes.TrimLeft(buf.Bytes(), " \t\r\n"); len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return nil, errNotMessage
	}
	return buf.Bytes(), nil
}

func refuseBody(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, fmt.Sprintf("the body is longer than the bound of %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
	case errors.Is(err, errNotMessage):
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		w.Header().Set("Connection", "close")
		http.Error(w, "the body did not arrive whole and in time", http.StatusRequestTimeout)
	}
}
