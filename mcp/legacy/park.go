package legacy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// statePrefix tells our request states from those of servers that have their own.
const statePrefix = "dragoman."

// ParkingOptions are the bounds of a Parking. Zero values mean the defaults.
type ParkingOptions struct {
	// TTL is how long a parked call waits for its caller; 10 minutes by default.
	TTL time.Duration
	// Max bounds the parked calls; 1,000 by default. Beyond it, a call that
	// would have to be parked fails.
	Max int
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// Parking holds the calls whose servers have asked for something in mid-call,
// until their callers come back with the answers or the time is up
// (2026-07-28, basic/patterns/mrtr; the state is sealed, bound to principal,
// request and expiry, and good for one use).
type Parking struct {
	sealer *Sealer
	o      ParkingOptions

	mu     sync.Mutex // guards parked
	parked map[string]*parked
}

type parked struct {
	call  parkable
	timer *time.Timer
}

// parkable is a call that has questions for its caller. Nobody uses it while it
// is parked.
type parkable interface {
	// leg is the caller's request that the questions are the answer to.
	leg() *mcp.Request
	// questions writes inputRequests.
	questions() []byte
	// check refuses answers of a form that cannot be right; then nothing has
	// been done with any.
	check(answers jsonrpc.Object) error
	// resume goes on with the answers, for the caller's retry.
	resume(ctx context.Context, req *mcp.Request, answers jsonrpc.Object) (mcp.Result, error)
	// abort gives the call up.
	abort(ctx context.Context)
}

// state is what a request state carries.
type state struct {
	ID        string `json:"id"`
	Principal string `json:"p,omitempty"`
	Digest    []byte `json:"d"`
	Expires   int64  `json:"x"`
}

// NewParking returns an empty Parking; Close empties it.
func NewParking(sealer *Sealer, o ParkingOptions) *Parking {
	if o.TTL == 0 {
		o.TTL = 10 * time.Minute
	}
	if o.Max == 0 {
		o.Max = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Parking{sealer: sealer, o: o, parked: make(map[string]*parked)}
}

// Owns reports whether req is a retry with a state that a Parking has given
// out. Only Resume can say whether it is still good.
func (p *Parking) Owns(req *mcp.Request) bool {
	if !mayAsk(req) || req.Params.Get("requestState") == nil {
		return false
	}
	token, ok := req.Params.String("requestState")
	if !ok || !strings.HasPrefix(token, statePrefix) {
		return false
	}
	_, err := p.sealer.open("park", strings.TrimPrefix(token, statePrefix))
	return err == nil // else it may be of a server that is itself a gateway like this one
}

// Resume goes on with the parked call that req is the retry of. A state that is
// altered, expired, of somebody else or of another call is an error, and so is
// a call that was lost: it is never made again.
func (p *Parking) Resume(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	s, err := p.check(ctx, req)
	if err != nil {
		return mcp.Result{}, err
	}
	held := p.take(s.ID)
	if held == nil {
		return mcp.Result{}, mcp.Errorf(mcp.CodeCallLost, "the call that this requestState stands for is no longer waiting: it was answered already, or given up; it was not made again")
	}
	if req.Abandon {
		held.call.abort(ctx)
		return mcp.Result{}, mcp.Errorf(mcp.CodeCallLost, "the call was given up")
	}
	answers, _ := jsonrpc.Split(req.Params.Get("inputResponses"))
	if err := held.call.check(answers); err != nil {
		if !p.put(s.ID, held.call) { // the state stays good: the caller may correct itself
			held.call.abort(ctx)
		}
		return mcp.Result{}, err
	}
	return held.call.resume(ctx, req, answers)
}

func (p *Parking) check(ctx context.Context, req *mcp.Request) (state, error) {
	bad := func(why string) (state, error) {
		return state{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "requestState is not valid: %s", why)
	}
	token, _ := req.Params.String("requestState")
	text, err := p.sealer.open("park", strings.TrimPrefix(token, statePrefix))
	if err != nil {
		return bad("it was altered, or given out by a gateway with another secret")
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return bad("it cannot be read")
	}
	switch {
	case s.Principal != mcp.PrincipalOf(ctx).ID:
		return bad("it belongs to another caller")
	case string(s.Digest) != string(digest(req)):
		return bad("it belongs to another request; method and params must be the same as before")
	case p.o.Now().UnixNano() > s.Expires:
		return state{}, mcp.Errorf(mcp.CodeCallLost, "the call waited longer than %s for its input and was given up; it was not made again", p.o.TTL)
	}
	return s, nil
}

// park keeps a call until its caller comes back, and asks the caller.
func (p *Parking) park(ctx context.Context, call parkable) (mcp.Result, error) {
	s := state{
		ID: rand.Text(), Principal: mcp.PrincipalOf(ctx).ID, Digest: digest(call.leg()),
		Expires: p.o.Now().Add(p.o.TTL).UnixNano(),
	}
	text, err := json.Marshal(s)
	if err != nil {
		return mcp.Result{}, err
	}
	questions := call.questions()
	if !p.put(s.ID, call) {
		call.abort(ctx)
		return mcp.Result{}, mcp.Errorf(mcp.CodeBusy, "%d calls wait for input, no more can", p.o.Max)
	}
	return inputRequired(questions, statePrefix+p.sealer.seal("park", text)), nil
}

func (p *Parking) put(id string, call parkable) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parked) >= p.o.Max {
		return false
	}
	p.parked[id] = &parked{call: call, timer: time.AfterFunc(p.o.TTL, func() { p.expire(id) })}
	return true
}

func (p *Parking) take(id string) *parked {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.parked[id]
	if held != nil {
		held.timer.Stop()
		delete(p.parked, id)
	}
	return held
}

func (p *Parking) expire(id string) {
	if held := p.take(id); held != nil {
		held.call.abort(context.Background())
	}
}

// Len returns the number of parked calls.
func (p *Parking) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.parked)
}

// Close gives up all parked calls.
func (p *Parking) Close() {
	p.mu.Lock()
	var ids []string
	for id := range p.parked {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { p.expire(id) }) // each may wait for its server
	}
	wg.Wait()
}

// digest is of the parts of a request that must be the same in its retry. A
// client may write the same arguments in other bytes, so their order and
// spacing do not count.
func digest(req *mcp.Request) []byte {
	h := sha256.New()
	h.Write([]byte(req.Method + "\x00" + req.Name + "\x00"))
	var arguments any
	decoder := json.NewDecoder(strings.NewReader(string(req.Params.Get("arguments"))))
	decoder.UseNumber()
	if decoder.Decode(&arguments) == nil {
		text, _ := json.Marshal(arguments) // what was decoded can be encoded
		h.Write(text)
	}
	return h.Sum(nil)
}
