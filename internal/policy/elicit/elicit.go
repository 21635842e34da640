// Package elicit judges what a server asks of its callers before anybody is asked:
// a form may not ask for secrets, a link has to lead where people expect it, and
// nobody is asked without end.
//
// A [Judge] stands around a server as a Handler, where all that a server asks
// passes in one shape, whatever revision it and its caller speak: inputRequests of
// a result, of a task, or of a notification about one, and the links of an error.
// What may not be asked is declined in the caller's place, and the server is told
// why. What the gateway itself asks is asked outside of it and is not judged.
//
// The package does not know how questions travel, who may call, or what a secret
// is called (see package wording). It fetches no link.
package elicit

import (
	"context"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/elicit/wording"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Reason is why a question is not passed on; there are no others.
type Reason string

// The reasons.
const (
	// Secret: a form asks for a password or the like.
	Secret Reason = "secret"
	// Link: a link does not lead where it may, or cannot be read in one way.
	Link Reason = "link"
	// Often: the caller was asked too often in the last minute.
	Often Reason = "often"
	// Kind: the server may not ask for such things at all.
	Kind Reason = "kind"
	// Shape: the question is too large, or can be read in two ways.
	Shape Reason = "shape"
)

// Refusal is a question that was not passed on.
type Refusal struct {
	Server string
	// Tool is the tool, prompt, resource or task in whose course it was asked.
	Tool   string
	Method string // of the question
	Reason Reason
	// Detail says what is wrong and what to do, as the server is told.
	Detail string
}

// Options are what a Judge needs of others.
type Options struct {
	// Refused is told of each refusal; may be nil.
	Refused func(ctx context.Context, r Refusal)
	// Address is where a caller is who has neither a name nor a session; may be nil.
	Address func(ctx context.Context) string
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// Judge judges the questions of all servers. It may be used concurrently.
type Judge struct {
	o     Options
	words *wording.Reader
	rates rates
}

// New returns a Judge.
func New(o Options) *Judge {
	if o.Refused == nil {
		o.Refused = func(context.Context, Refusal) {}
	}
	if o.Address == nil {
		o.Address = func(context.Context) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Judge{o: o, words: wording.New(), rates: rates{now: o.Now}}
}

// Guard returns next, the server that cfg describes, with what it asks judged.
func (j *Judge) Guard(cfg config.Server, next mcp.Handler) mcp.Handler {
	return &guard{judge: j, server: cfg.Name, asks: cfg.Asks, without: kindsOf(cfg.Asks.Refuse), next: next}
}

// kindsOf reads words of config.Asks.Refuse.
func kindsOf(words []string) mcp.Kinds {
	var k mcp.Kinds
	for _, w := range words {
		switch w {
		case "forms":
			k |= mcp.ElicitForm
		case "links":
			k |= mcp.ElicitURL
		case "sampling":
			k |= mcp.Sampling | mcp.SamplingTools | mcp.SamplingContext
		case "roots":
			k |= mcp.Roots
		}
	}
	return k
}
