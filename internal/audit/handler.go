package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of texts in a record that others wrote, in bytes.
const (
	maxName   = 512
	maxClient = 128
	maxText   = 1024
	maxAttrs  = 32
)

// Record returns what records the calls of a handler; server is the name of the
// configured server that it is, empty for the gateway's own edge.
//
// A call with side effects whose intent cannot be recorded is not made: the
// caller gets [mcp.CodeUnavailable], whose data says "audit". One whose outcome
// cannot be recorded has been made: the caller gets [mcp.CodeCallLost] in place
// of the result.
func (l *Log) Record(server string) func(mcp.Handler) mcp.Handler {
	return func(next mcp.Handler) mcp.Handler {
		return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
			switch l.rules.of(server, req) {
			case full:
				return l.both(ctx, next, server, req)
			case outcomeOnly:
				return l.one(ctx, next, server, req)
			}
			return next.Handle(ctx, req)
		})
	}
}

// both records a call before it is made and when it has ended.
func (l *Log) both(ctx context.Context, next mcp.Handler, server string, req *mcp.Request) (res mcp.Result, err error) {
	l.inside.Add(1)
	defer l.inside.Add(-1)
	intent := l.describe(ctx, kindIntent, server, req)
	begun := intent.time
	seq, failed := l.append(ctx, &intent, onDisk)
	outcome := entry{kind: kindOutcome, of: seq, outcome: "panic"}
	if failed != nil {
		if seq != 0 { // it may be in the log all the same, and nothing was done
			outcome.outcome, outcome.time = "not made", l.o.Now()
			_, _ = l.append(ctx, &outcome, atOnce)
		}
		return mcp.Result{}, refuse(mcp.CodeUnavailable, "not done, since it could not be recorded: ", failed)
	}
	defer func() {
		outcome.time = l.o.Now()
		outcome.duration = outcome.time.Sub(begun)
		if _, failed := l.append(ctx, &outcome, written); failed != nil && outcome.outcome != "panic" {
			res, err = mcp.Result{}, refuse(mcp.CodeCallLost, "done, and its outcome could not be recorded: ", failed)
		}
	}()
	res, err = next.Handle(ctx, req)
	outcome.judge(ctx, res, err)
	return res, err
}

// one records a call when it has ended, and does not wait for the disk.
func (l *Log) one(ctx context.Context, next mcp.Handler, server string, req *mcp.Request) (res mcp.Result, err error) {
	begun := l.o.Now()
	outcome := "panic"
	defer func() {
		e := l.describe(ctx, kindCall, server, req)
		e.duration = e.time.Sub(begun)
		if e.outcome = outcome; outcome == "" {
			e.judge(ctx, res, err)
		}
		_, _ = l.append(ctx, &e, toBeTaken) // what is lost is counted
	}()
	res, err = next.Handle(ctx, req)
	outcome = ""
	return res, err
}

// Refused records a call that was not made, since it may not be. It does not wait
// for the disk.
func (l *Log) Refused(ctx context.Context, server string, req *mcp.Request) {
	e := l.describe(ctx, kindRefusal, server, req)
	_, _ = l.append(ctx, &e, toBeTaken) // what is lost is counted
}

// Event is something that was done besides calls: a user added, a token made, a
// tool approved.
type Event struct {
	// Name says what was done, the same each time: "token created".
	Name string
	// Attrs are about what; at most 32, in this order. Secrets are taken out.
	Attrs [][2]string
}

// Event records what the principal of ctx did. It must not be done, or not be
// told as done, when there is an error.
func (l *Log) Event(ctx context.Context, v Event) error {
	p := mcp.PrincipalOf(ctx)
	decision, _ := recordOf(ctx)
	e := entry{kind: kindEvent, time: l.o.Now(), principal: p.ID, auth: p.Method, request: mcp.RequestIDOf(ctx),
		text: l.clean(v.Name, maxText), decision: decision}
	for _, a := range v.Attrs[:min(len(v.Attrs), maxAttrs)] {
		value := l.clean(a[0]+"="+a[1], maxText) // the name says what the value is
		_, value, _ = strings.Cut(value, "=")
		e.attrs = append(e.attrs, [2]string{l.clean(a[0], maxClient), value})
	}
	_, err := l.append(ctx, &e, onDisk)
	return err
}

// refuse is what the caller is told. What is wrong with the disk is not its business.
func refuse(code int, what string, err error) error {
	return errors.Join(mcp.ErrorData(code, what+ErrUnavailable.Error(), map[string]string{"reason": "audit"}), err)
}

// describe says who wants what.
func (l *Log) describe(ctx context.Context, k kind, server string, req *mcp.Request) entry {
	p := mcp.PrincipalOf(ctx)
	decision, definition := recordOf(ctx)
	e := entry{
		kind: k, time: l.o.Now(), principal: p.ID, auth: p.Method, method: cut(req.Method, maxClient), server: server,
		name: l.clean(req.Name, maxName), definition: definition, decision: decision,
		request: cut(mcp.RequestIDOf(ctx), maxClient), trace: traceOf(ctx, req), in: len(req.Params.Raw()),
	}
	if c := req.Client; c != nil {
		e.revision = cut(string(c.Revision), maxClient)
		e.client = l.clean(l.clients.of(c.Info, nameOfClient), maxClient)
	}
	e.arguments = req.Params.Get("arguments")
	return e
}

// mac is a hash with a key, and room for what it gives.
type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

// appendArguments writes a keyed digest of a call's arguments, as they are written,
// and unless that is not wanted what may be shown of them.
func (l *Log) appendArguments(dst, arguments []byte) []byte {
	m := l.macs.Get().(*mac)
	m.Reset()
	m.Write(arguments)
	dst = hex.AppendEncode(append(dst, `,"digest":"hmac-sha256:`...), m.Sum(m.sum[:0]))
	dst = append(dst, '"')
	l.macs.Put(m)
	if l.o.Config.Arguments == "digest" {
		return dst
	}
	return l.o.Redactor.AppendView(append(dst, `,"arguments":`...), arguments, int(l.o.Config.ArgumentSize))
}

// clean bounds a text that others wrote and takes secrets out of it.
func (l *Log) clean(text string, most int) string {
	const window = 4096 // beyond the bound, so that a secret that is cut is still known as one
	if len(text) > most+window {
		text = text[:most+window]
	}
	return cut(l.o.Redactor.Text(text), most)
}

// cut bounds a text at a boundary between characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// traceOf is the id of the trace that a call belongs to.
func traceOf(ctx context.Context, req *mcp.Request) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	const begin, end = 3, 35 // version-traceid-parent-flags (W3C Trace Context, section 3.2)
	if len(req.TraceParent) < end || strings.Trim(req.TraceParent[begin:end], "0123456789abcdef") != "" {
		return ""
	}
	return req.TraceParent[begin:end]
}

// judge says how a call ended. One whose caller's credential was revoked meanwhile
// is not answered, whether the server had an answer or not.
func (e *entry) judge(ctx context.Context, res mcp.Result, err error) {
	switch revoked := mcp.Revoked(ctx); {
	case revoked && err == nil:
		e.outcome, e.out = "withheld", len(res.Raw())
		return
	case revoked:
		e.outcome = "revoked"
		return
	case err == nil:
		e.outcome, e.out = string(res.Type()), len(res.Raw())
		if string(res.Get("isError")) == "true" {
			e.outcome = "tool error"
		}
		e.outcome = cut(e.outcome, maxClient)
		return
	}
	var wire *mcp.Error
	switch {
	case errors.As(err, &wire):
		e.outcome, e.code = "error", wire.Code
	case errors.Is(err, context.Canceled):
		e.outcome = "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		e.outcome = "timeout"
	default:
		e.outcome, e.code = "error", jsonrpc.CodeInternal
	}
}
