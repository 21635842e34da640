package app

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

// door is one endpoint on every transport that reaches us over HTTP.
type door struct {
	name     string
	handler  mcp.Handler
	sessions *legacy.Server
	stream   *streamhttp.Server
	sse      *httpsse.Server
	cfg      *config.Config
}

// doors are the endpoints that somebody has asked for. Each is made when it is
// first asked for, and lasts: sessions must not end with a reload.
type doors struct {
	app    *App
	ctx    context.Context // of sockets
	cancel context.CancelFunc

	calls   atomic.Int64 // under way, subscriptions left out
	most    int64        // calls
	streams streams

	mu      sync.Mutex // guards what follows, and the beginning of sockets
	sockets sync.WaitGroup
	open    map[string]*door
	closed  bool
}

// answered gives what next says to callers who may still have it: not to those
// whose credential was revoked meanwhile. What the call has done stays done.
func answered(next mcp.Handler) mcp.Handler {
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		result, err := next.Handle(ctx, req)
		if mcp.Revoked(ctx) {
			return mcp.Result{}, mcp.Errorf(mcp.CodeUnauthenticated, "the credential was revoked or has expired while this was under way; it was cancelled, and may have taken effect")
		}
		return result, err
	})
}

// counted counts the calls of next, and the subscriptions of clients that have no
// session: who has one holds a stream, whatever it subscribes to.
func (d *doors) counted(next mcp.Handler) mcp.Handler {
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		if req.Method != "subscriptions/listen" {
			defer d.calls.Add(-1)
			if d.calls.Add(1) > d.most {
				return mcp.Result{}, mcp.Busy("the gateway has as many calls under way as limits.in_flight lets it; try again later", time.Second)
			}
			return next.Handle(ctx, req)
		}
		if req.Client != nil && req.Client.Revision.Modern() {
			leave, refusal := d.streams.enter(ctx)
			if refusal != nil {
				return mcp.Result{}, refusal
			}
			defer leave()
		}
		return next.Handle(ctx, req)
	})
}

// lastWords is how long an answer that is ready may take to be on its way.
const lastWords = 100 * time.Millisecond

// settle waits until the calls under way have been answered; false when ctx ended
// before.
func (d *doors) settle(ctx context.Context) bool {
	tick := time.NewTicker(lastWords)
	defer tick.Stop()
	for quiet := 0; quiet < 2; {
		if d.calls.Load() == 0 {
			quiet++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func newDoors(a *App) *doors {
	limits := a.Config().Limits
	d := &doors{app: a, most: int64(limits.InFlight), streams: streams{most: limits.StreamsPerPrincipal}, open: make(map[string]*door)}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// find returns the door of an endpoint that exists, or still has sessions.
func (d *doors) find(name string) (*door, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := d.open[name]
	if !d.app.gateway.Has(name) && (found == nil || found.sessions.Len() == 0) || d.closed {
		return nil, false
	}
	if found == nil {
		handler, _ := d.app.Endpoint(name)
		found = d.make(name, handler)
		d.open[name] = found
	}
	return found, true
}

func (d *doors) make(name string, handler mcp.Handler) *door {
	cfg := d.app.Config()
	l := cfg.Limits
	handler = d.app.telemetry.Observe(handler, telemetry.Leg{Side: telemetry.Incoming, Transport: telemetry.TCP})
	handler = answered(d.app.shown(d.counted(handler)))
	made := &door{name: name, handler: handler, cfg: cfg}
	made.sessions = legacy.NewServer(handler, d.app.sealer, legacy.ServerOptions{
		Endpoint: name, MaxSessions: l.Sessions, SessionTTL: cfg.Session.TTL, InputTimeout: cfg.Session.InputWait, Log: d.app.log,
		ListsDiffer: d.app.listsDiffer,
	})
	made.stream = streamhttp.NewServer(handler, made.sessions, streamhttp.ServerOptions{
		MaxBodyBytes: int64(l.Body), Limits: jsonrpc.Limits{MaxDepth: l.Depth}, BodyTimeout: l.BodyTimeout,
		WriteTimeout: l.WriteTimeout, KeepAlive: l.KeepAlive,
		ReplayEvents: orNone(l.ReplayEvents), ReplayBytes: orNone(int(l.ReplayBytes)), Log: d.app.log,
		Hold: d.streams.enter, Detached: auth.Detached, Outlive: auth.Outlive,
	})
	made.sse = httpsse.NewServer(made.converse, httpsse.ServerOptions{
		MaxSessions: l.Sessions, MaxBodyBytes: int64(l.Body), BodyTimeout: l.BodyTimeout,
		WriteTimeout: l.WriteTimeout, KeepAlive: l.KeepAlive, Log: d.app.log,
	})
	return made
}

// orNone turns the configuration's 0, nothing, into that of the transport.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// converse serves one lasting connection.
func (d *door) converse(ctx context.Context, c mcp.Conn) error {
	return legacy.Serve(ctx, c, d.handler, d.sessions, legacy.ServeOptions{Limits: jsonrpc.Limits{MaxDepth: d.cfg.Limits.Depth}})
}

// mcp answers Streamable HTTP and WebSocket on one path.
func (d *doors) mcp(w http.ResponseWriter, r *http.Request) {
	found, ok := d.find(r.PathValue("name"))
	if !ok {
		d.unknown(w, r)
		return
	}
	if websocket.IsUpgrade(r) {
		d.socket(found, w, r)
		return
	}
	found.stream.ServeHTTP(w, r)
}

func (d *doors) socket(found *door, w http.ResponseWriter, r *http.Request) {
	if !d.enter() {
		d.unknown(w, r)
		return
	}
	defer d.sockets.Done()
	leave, refusal := d.streams.enter(r.Context())
	if refusal != nil {
		refuse(w, http.StatusTooManyRequests, refusal)
		return
	}
	defer leave()
	conn, err := websocket.Upgrade(w, r, websocket.Options{
		MaxMessageBytes: int(found.cfg.Limits.Body), WriteTimeout: found.cfg.Limits.WriteTimeout,
		PingInterval: found.cfg.Limits.KeepAlive,
		CheckOrigin:  func(*http.Request) bool { return true }, // the guard has checked it
	})
	if err != nil {
		return // it has been answered
	}
	// The socket outlives the request's context, not the gateway nor its caller's credential.
	ctx, cancel := context.WithCancel(auth.Detached(r.Context()))
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	if err := found.converse(ctx, conn); err != nil {
		d.app.log.DebugContext(ctx, "websocket ended", "err", err)
	}
}

// enter counts a socket that close waits for; false when it is too late for one.
func (d *doors) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.sockets.Add(1)
	}
	return !d.closed
}

// events answers HTTP+SSE.
func (d *doors) events(w http.ResponseWriter, r *http.Request) {
	found, ok := d.find(r.PathValue("name"))
	if !ok {
		d.unknown(w, r)
		return
	}
	if r.Method == http.MethodGet {
		leave, refusal := d.streams.enter(r.Context())
		if refusal != nil {
			refuse(w, http.StatusTooManyRequests, refusal)
			return
		}
		defer leave()
	}
	found.sse.ServeHTTP(w, r)
}

func (d *doors) unknown(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusNotFound, mcp.Errorf(jsonrpc.CodeInvalidRequest, "there is no server or view named %s", r.PathValue("name")))
}

// refuse answers with an error of no request in particular.
func refuse(w http.ResponseWriter, status int, err *mcp.Error) {
	writeJSON(w, status, map[string]any{"jsonrpc": "2.0", "id": nil, "error": map[string]any{"code": err.Code, "message": err.Message}})
}

// close ends all sessions and streams, and waits for them. Calls of sessions that
// wait for their client end with that, so they must come first.
func (d *doors) close() {
	d.mu.Lock()
	d.closed = true
	open := d.open
	d.open = nil
	d.mu.Unlock()
	d.cancel()
	var wg sync.WaitGroup
	wg.Go(d.sockets.Wait)
	for _, found := range open {
		wg.Go(func() {
			found.sessions.Close()
			found.stream.Close()
			_ = found.sse.Close()
		})
	}
	wg.Wait()
}

// sessionCount is the number of live sessions.
func (d *doors) sessionCount() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, found := range d.open {
		n += found.sessions.Len()
	}
	return n
}
