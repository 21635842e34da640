// Package httpsse carries messages over HTTP with Server-Sent Events, the
// transport of revision 2024-11-05 (basic/transports, "HTTP with SSE"): the
// server talks on the response to a GET, whose first event tells the client
// where to POST what it has to say.
//
// It knows nothing of what the messages mean, of revisions or of how callers
// are authenticated, and it does not dial by itself.
package httpsse

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// ServerOptions are the bounds of a Server. Zero values mean the defaults.
type ServerOptions struct {
	// Endpoint returns where the client that opens a stream with r is told to
	// POST: a reference that it resolves against the URL of its stream and to
	// which the session is added as a query. When nil it is the path of r as
	// the client sent it; "" is right behind anything that changes paths, but
	// not every client resolves it rightly.
	Endpoint func(r *http.Request) string
	// MaxSessions bounds the streams that are open; 1024 by default.
	MaxSessions int
	// MaxBodyBytes bounds a message of a client; 4 MiB by default.
	MaxBodyBytes int64
	// MaxPosts bounds the messages of one session that are being received or
	// wait to be read; 16 by default. Others wait before their body is read.
	MaxPosts int
	// BodyTimeout bounds how long a message may take to arrive; 30 s by default.
	BodyTimeout time.Duration
	// QueueTimeout bounds how long a message waits until it is read, and until
	// its body is; 10 s by default. Then its client is told to come again.
	QueueTimeout time.Duration
	// WriteTimeout bounds how long a client may take for an event, to which is
	// added a second for each 64 KiB; 30 s by default. Who is slower is cut off.
	WriteTimeout time.Duration
	// KeepAlive is how often a quiet stream carries a comment; 15 s by default.
	KeepAlive time.Duration
	// Log takes why sessions ended that did not end well; nothing by default.
	Log *slog.Logger
}

// minRate is what a client must take of a long message, in bytes per second.
const minRate = 64 << 10

func (o ServerOptions) withDefaults() ServerOptions {
	if o.Endpoint == nil {
		o.Endpoint = ownPath
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 1024
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = 4 << 20
	}
	if o.MaxPosts == 0 {
		o.MaxPosts = 16
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.BodyTimeout, 30*time.Second)
	setDefault(&o.QueueTimeout, 10*time.Second)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.KeepAlive, 15*time.Second)
	return o
}

func setDefault(d *time.Duration, fallback time.Duration) {
	if *d == 0 {
		*d = fallback
	}
}

// ownPath returns the path that the client, or what stands before us, asked
// for, whatever handlers have made of it since. It begins with one slash: with
// two it would name a host.
func ownPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		path = u.EscapedPath()
	}
	return "/" + strings.TrimLeft(path, "/")
}

// Server keeps the sessions of clients. Its methods may be called concurrently.
type Server struct {
	serve   func(context.Context, mcp.Conn) error
	o       ServerOptions
	streams sync.WaitGroup

	mu       sync.Mutex // guards what follows
	sessions map[string]*session
	closed   bool
}

// NewServer returns a server that calls serve once for each stream that a
// client opens, in the goroutine of its request and with the values of that
// request's context. The session ends when serve returns; when the client goes,
// reading from the connection yields io.EOF, and the context ends.
func NewServer(serve func(ctx context.Context, c mcp.Conn) error, o ServerOptions) *Server {
	return &Server{serve: serve, o: o.withDefaults(), sessions: make(map[string]*session)}
}

// Close ends all sessions and waits until their requests have returned.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	open := make([]*session, 0, len(s.sessions))
	for _, c := range s.sessions {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.end(io.ErrClosedPipe)
	}
	s.streams.Wait()
	return nil
}

// ServeHTTP is Stream for GET and Message for POST, for those who serve both on
// one path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		s.Stream(w, r)
	case http.MethodPost:
		s.Message(w, r)
	default:
		refuseMethod(w, "GET, POST")
	}
}

func refuseMethod(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	http.Error(w, "this path takes "+allow, http.StatusMethodNotAllowed)
}

// Stream answers the GET of a client that opens a session. The session belongs
// to the principal of the request's context.
func (s *Server) Stream(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		refuseMethod(w, "GET")
		return
	}
	// This context ends after the session, so that the session knows why.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	c := newSession(w, s.o, cancel)
	c.principal = mcp.PrincipalOf(ctx).ID
	if err := s.add(c); err != nil {
		cancel()
		refuseForNow(w, err.Error())
		return
	}
	defer s.remove(c)
	if err := c.open(addSession(s.o.Endpoint(r), c.id)); err != nil {
		s.o.Log.WarnContext(ctx, "http+sse stream was not opened", "principal", c.principal, "err", err)
		return
	}
	stop := context.AfterFunc(r.Context(), c.gone)
	defer stop()
	if err := s.serve(ctx, c); err != nil && !errors.Is(err, io.EOF) {
		s.o.Log.WarnContext(ctx, "http+sse session ended", "principal", c.principal, "err", err)
	}
}

func refuseForNow(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, why, http.StatusServiceUnavailable)
}

// sessionKey is the query in which clients send their session back.
const sessionKey = "sessionId"

func addSession(endpoint, id string) string {
	separator := "?"
	if strings.Contains(endpoint, "?") {
		separator = "&"
	}
	return endpoint + separator + sessionKey + "=" + id
}

func (s *Server) add(c *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errors.New("the server is closing")
	case len(s.sessions) >= s.o.MaxSessions:
		return errors.New("too many sessions are open; close one, or try again later")
	}
	c.id = rand.Text()
	s.sessions[c.id] = c
	s.streams.Add(1)
	return nil
}

// remove ends a session. When it returns, nobody uses the response any more.
func (s *Server) remove(c *session) {
	defer s.streams.Done()
	s.mu.Lock()
	delete(s.sessions, c.id)
	s.mu.Unlock()
	c.retire()
}

// find returns the session of that id if it belongs to the principal of ctx.
func (s *Server) find(ctx context.Context, id string) (*session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.sessions[id]
	if !ok || c.principal != mcp.PrincipalOf(ctx).ID {
		return nil, false
	}
	return c, true
}
