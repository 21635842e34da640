package legacy

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	// courtesy bounds what we still tell a peer after the call that it was for has ended.
	courtesy = 2 * time.Second
	// politeness is how long a caller waits for that. Who comes next then finds a
	// server that knows of it, unless it hangs.
	politeness = 250 * time.Millisecond
	// maxCourtesies bounds how many calls at once are ended behind their callers'
	// backs. The callers of others wait for it.
	maxCourtesies = 256
	// levelWait is how long a server may take to hear from which level on it is to
	// send logs.
	levelWait = 5 * time.Second
)

// ClientOptions say how to open a session with a server.
type ClientOptions struct {
	// Info is the JSON text of our Implementation object.
	Info []byte
	// Kinds are declared to the server: what callers of this session can be
	// asked for. Fixed for the life of the session.
	Kinds mcp.Kinds
	// Revision is proposed to the server; 2025-11-25 by default.
	Revision mcp.Revision
	// Parking holds the calls that wait for their callers.
	Parking *Parking
	// Changed is told the method of each notification that a list has changed,
	// whether anybody has subscribed to it or not. It must not block; may be nil.
	Changed func(method string)
	Log     *slog.Logger
}

// Client is a server of a session-shaped revision as a Handler. It owns one
// session over one channel, and ends with it: see Done.
//
// Calls share the session. A request that the server sends on a call's own
// stream belongs to that call; one that comes without such a link belongs to
// the only call under way whose caller declared what it needs. When that is not
// one call, it waits until it is clear, and may be refused. Calls of what has asked
// in this way go one after the other.
type Client struct {
	ch     mcp.Channel
	o      ClientOptions
	server mcp.Server
	rev    mcp.Revision
	tokens atomic.Int64
	events chan struct{} // closed when the reader of events has ended
	alone  chan struct{} // one place: the call whose turn it is of those that ask
	hub    hub

	sorting sync.WaitGroup // requests of the server whose call is not clear yet, and courtesies
	tasks   tasks

	mu         sync.Mutex // guards what follows, and the beginning of courtesies
	flights    map[*flight]bool
	askers     map[asker]bool // what has asked without saying for which call
	puzzles    []*puzzle      // requests of the former kind, oldest first
	level      int            // severity that the server was last told; -1 for none
	telling    chan struct{}  // closed when it has taken that; nil when it has
	courtesies int            // under way
	spoken     chan struct{}  // closed when there are none any more; nil while nobody waits for that
	closed     bool
}

var _ mcp.Handler = (*Client)(nil)

// Connect makes the handshake on ch, which it owns from now on, and also closes
// when it fails. ctx bounds the handshake.
func Connect(ctx context.Context, ch mcp.Channel, o ClientOptions) (*Client, error) {
	if o.Revision == "" {
		o.Revision = mcp.Revision20251125
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		ch: ch, o: o, level: -1,
		events: make(chan struct{}), alone: make(chan struct{}, 1),
		flights: make(map[*flight]bool), askers: make(map[asker]bool),
	}
	go c.readEvents()
	if err := c.handshake(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the session and waits. Parked calls are lost.
func (c *Client) Close() error {
	err := c.ch.Close()
	<-c.events
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.sorting.Wait()
	return err
}

// behind tells the server something for which no caller should have to wait for
// long: one that hangs does not take it, and the call's time may be up.
func (c *Client) behind(tell func()) {
	heard := make(chan struct{})
	c.mu.Lock()
	may := !c.closed && c.courtesies < maxCourtesies
	if may {
		c.courtesies++
		c.sorting.Go(func() {
			defer c.told()
			defer close(heard)
			tell()
		})
	}
	c.mu.Unlock()
	if !may {
		tell()
		return
	}
	patience := time.NewTimer(politeness)
	defer patience.Stop()
	select {
	case <-heard:
	case <-patience.C:
	}
}

func (c *Client) told() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.courtesies--
	if c.courtesies == 0 && c.spoken != nil {
		close(c.spoken)
		c.spoken = nil
	}
}

// Flush waits until the server has been told of the calls that were given up, or
// ctx ends. Who closes what is below the session calls it before.
func (c *Client) Flush(ctx context.Context) {
	c.mu.Lock()
	if c.courtesies == 0 {
		c.mu.Unlock()
		return
	}
	if c.spoken == nil {
		c.spoken = make(chan struct{})
	}
	spoken := c.spoken
	c.mu.Unlock()
	select {
	case <-spoken:
	case <-ctx.Done():
	}
}

// Done is closed when the session has ended; Err then says why.
func (c *Client) Done() <-chan struct{} { return c.ch.Done() }

// Err says why the session ended.
func (c *Client) Err() error { return c.ch.Err() }

// Server is what the server said of itself in the handshake.
func (c *Client) Server() mcp.Server { return c.server }

// Revision is the one agreed on.
func (c *Client) Revision() mcp.Revision { return c.rev }

// Ping asks the server whether it is there (basic/utilities/ping).
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.roundTrip(ctx, "ping", jsonrpc.Object{})
	if _, answered := err.(*mcp.Error); answered {
		return nil // it is there, if it does not know the question
	}
	return err // one that a transport has made is wrapped
}

// Busy reports whether closing the session would lose something: calls under
// way or parked.
func (c *Client) Busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.flights) > 0
}

func (c *Client) handshake(ctx context.Context) error {
	info := c.o.Info
	if info == nil {
		info = []byte(`{"name":"dragoman","version":""}`)
	}
	result, err := c.roundTrip(ctx, "initialize", jsonrpc.Object{}.With(
		jsonrpc.Edit{Name: "protocolVersion", Value: jsonrpc.AppendString(nil, string(c.o.Revision))},
		jsonrpc.Edit{Name: "capabilities", Value: c.o.Kinds.Capabilities(c.o.Revision)},
		jsonrpc.Edit{Name: "clientInfo", Value: info}))
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	agreed, _ := result.String("protocolVersion")
	c.rev = mcp.Revision(agreed)
	if !c.rev.Known() || c.rev.Modern() {
		return fmt.Errorf("initialize: the server answered with protocol revision %q, which is none that has a handshake", agreed)
	}
	c.server.Revisions = []mcp.Revision{c.rev}
	c.server.Info = result.Get("serverInfo")
	c.server.Capabilities, _ = jsonrpc.Split(result.Get("capabilities"))
	c.server.Instructions, _ = result.String("instructions")
	c.tasks.read(c.server, c.rev)
	if err := c.ch.Send(ctx, jsonrpc.Message{Method: "notifications/initialized"}); err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	return nil
}

// roundTrip makes a call that nobody is told anything of but its result.
func (c *Client) roundTrip(ctx context.Context, method string, params jsonrpc.Object) (mcp.Result, error) {
	return c.exchange(ctx, method, params, c.unasked)
}

// exchange makes a call of our own; take gets what comes with its result.
func (c *Client) exchange(ctx context.Context, method string, params jsonrpc.Object, take func(jsonrpc.Message)) (mcp.Result, error) {
	call, err := c.ch.Start(ctx, mcp.Outgoing{Method: method, Params: params.Raw()})
	if err != nil {
		return mcp.Result{}, err
	}
	for {
		select {
		case msg, ok := <-call.Messages():
			if !ok {
				return mcp.Result{}, call.Err()
			}
			if msg.IsResponse() {
				return mcp.ResponseOf(msg)
			}
			take(msg)
		case <-ctx.Done():
			call.Abandon()
			c.behind(func() { c.tellCancelled(ctx, call.ID()) })
			return mcp.Result{}, ctx.Err()
		}
	}
}

// unasked handles a message on a stream that has no caller to ask.
func (c *Client) unasked(msg jsonrpc.Message) {
	if msg.IsRequest() {
		c.refuse(msg, "no call is under way that could answer it")
	}
}

// Handle implements mcp.Handler.
func (c *Client) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	switch req.Method {
	case "server/discover":
		return c.server.Result(), nil
	case "subscriptions/listen":
		return c.listen(ctx, req)
	case "ping", "initialize", "logging/setLevel", "resources/subscribe", "resources/unsubscribe":
		return mcp.Result{}, mcp.MethodNotFound(req.Method) // the session's own
	}
	if mcp.MayAsk(req.Method) && (req.Params.Get("requestState") != nil || req.Params.Get("inputResponses") != nil) {
		again, err := c.withoutAnswers(req)
		if err != nil {
			return mcp.Result{}, err
		}
		req = again
	}
	if !mcp.OfSession(req.Method) {
		c.hub.usedBy(mcp.PrincipalOf(ctx).ID)
	}
	c.ensureLevel(ctx, req.LogLevel)
	switch req.Method {
	case "tools/call":
		if c.tasks.calls {
			return c.callTool(ctx, req)
		}
	case "tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update":
		return c.taskMethod(ctx, req)
	}
	return c.begin(ctx, req)
}

// withoutAnswers is a retry of a call that was not parked: the server had asked
// for a URL to be opened before it does anything (-32042), so that it can be
// called again. A state that came with it is none of ours: ours finds its
// parked call before it comes here.
func (c *Client) withoutAnswers(req *mcp.Request) (*mcp.Request, error) {
	if req.Params.Get("requestState") != nil {
		return nil, mcp.Errorf(jsonrpc.CodeInvalidParams, "requestState was not given out by this server")
	}
	answers, _ := jsonrpc.Split(req.Params.Get("inputResponses"))
	for _, m := range answers.Members() {
		answer, _ := jsonrpc.Split(m.Value)
		if action, _ := answer.String("action"); action != "accept" {
			return nil, mcp.Errorf(jsonrpc.CodeInvalidRequest, "the user did not agree to what the server needs first (%s)", m.Name)
		}
	}
	again := *req
	again.Params = req.Params.With(jsonrpc.Edit{Name: "inputResponses"})
	return &again, nil
}

// begin sends the request and follows it until there is something to answer.
func (c *Client) begin(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	return c.launch(ctx, &flight{client: c, req: req})
}

func (c *Client) launch(ctx context.Context, f *flight) (mcp.Result, error) {
	req := f.req
	f.injected = make(chan *jsonrpc.Message, maxInjected)
	if err := f.enter(ctx); err != nil {
		return mcp.Result{}, err
	}
	var own []jsonrpc.Edit
	out := mcp.Outgoing{Method: req.Method, Logs: req.LogLevel != "" && req.Notify != nil}
	if req.ProgressToken != nil && req.Notify != nil {
		out.ProgressToken = strconv.FormatInt(c.tokens.Add(1), 10)
		own = []jsonrpc.Edit{{Name: mcp.MetaProgressToken, Value: []byte(out.ProgressToken)}}
	}
	f.token = out.ProgressToken
	out.Params = c.params(req, own)
	call, err := c.ch.Start(ctx, out)
	if err != nil {
		f.leave()
		return mcp.Result{}, err
	}
	f.call = call
	return f.follow(ctx)
}

// params writes the request for the server: a server before 2025-06-18 does
// not know what a completion's context is.
func (c *Client) params(req *mcp.Request, own []jsonrpc.Edit) []byte {
	text := req.AppendParams(nil, own...)
	if req.Method != "completion/complete" || c.rev >= mcp.Revision20250618 {
		return text
	}
	o, _ := jsonrpc.Split(text)
	return o.Append(nil, jsonrpc.Edit{Name: "context"})
}

// ensureLevel lets the server send what the most curious caller wants to see;
// each caller gets what it asked for. It returns when the server has been told,
// whoever tells it.
func (c *Client) ensureLevel(ctx context.Context, level string) {
	want := severity(level)
	if want < 0 || c.server.Capabilities.Get("logging") == nil {
		return
	}
	for {
		c.mu.Lock()
		telling, was := c.telling, c.level
		enough := was >= 0 && was <= want
		if telling == nil && !enough {
			c.level, c.telling = want, make(chan struct{})
		}
		c.mu.Unlock()
		switch {
		case telling != nil:
			select {
			case <-telling:
				continue
			case <-ctx.Done():
			}
		case !enough:
			c.tellLevel(ctx, level, was)
		}
		return
	}
}

// tellLevel tells the server from which level on it is to send logs; was is what
// it was told before. One that does not take it is not told again.
func (c *Client) tellLevel(ctx context.Context, level string, was int) {
	limited, stop := context.WithTimeout(ctx, levelWait)
	defer stop()
	params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "level", Value: jsonrpc.AppendString(nil, level)})
	_, err := c.roundTrip(limited, "logging/setLevel", params)
	if err != nil {
		c.o.Log.Debug("the server did not take the log level", "err", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil { // who told it has gone, and the next one tries again
		c.level = was
	}
	close(c.telling)
	c.telling = nil
}

func (c *Client) tellCancelled(ctx context.Context, id jsonrpc.ID) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), courtesy)
	defer stop()
	params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "requestId", Value: []byte(id)})
	_ = c.ch.Send(ctx, jsonrpc.Message{Method: "notifications/cancelled", Params: params})
}

// reply answers a request of the server.
func (c *Client) reply(msg jsonrpc.Message) {
	ctx, stop := context.WithTimeout(context.Background(), courtesy)
	defer stop()
	if err := c.ch.Send(ctx, msg); err != nil {
		c.o.Log.Debug("the server did not take an answer", "err", err)
	}
}

func (c *Client) refuse(msg jsonrpc.Message, why string) {
	if msg.Method == "ping" {
		c.reply(jsonrpc.Message{ID: msg.ID, Result: mcp.EmptyResult().Object})
		return
	}
	c.reply(jsonrpc.Message{ID: msg.ID, Error: mcp.Errorf(jsonrpc.CodeInvalidRequest, "%s is refused: %s", msg.Method, why)})
}
