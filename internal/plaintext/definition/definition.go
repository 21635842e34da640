// Package definition shows of a server's definitions, and of its errors, what a
// person would see of them: what people do not see is taken out before a client,
// and the model behind it, gets it, or the definition is left out.
//
// It stands in front of what approves definitions, which is shown all that the
// server has said. Lists are cleaned as they are fetched, once for all callers
// that share them.
//
// It does not know which clients there are, who approved what, nor whether what
// is plain to see is true or harmless.
package definition

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"strconv"
	"sync"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/plaintext"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Values of config.Text.
const (
	strip    = "strip"
	withhold = "withhold"
	keep     = "keep"
)

// maxTold bounds the definitions of one server that are told apart in the log and
// in the figures; further ones are cleaned in silence.
const maxTold = 1000

// Options are what a Plain needs.
type Options struct {
	Server string
	Text   config.Text
	// Found is told each time that something was taken out: of which kind of thing
	// (tool, prompt, resource, template, instructions, error, result, message). Each
	// definition is told once. May be nil.
	Found func(kind string)
	Log   *slog.Logger
}

// Figures count the definitions in which something was found, since the start.
type Figures struct {
	Stripped int `json:"stripped"` // shown without it
	Withheld int `json:"withheld"` // left out
}

// Plain is a server that hides nothing. It may be used concurrently.
type Plain struct {
	o    Options
	next mcp.Handler

	mu      sync.Mutex // guards what follows
	told    map[[sha256.Size]byte]bool
	figures Figures
}

var _ mcp.Handler = (*Plain)(nil)

// New returns next as clients are to see it. Without a setting definitions are
// stripped.
func New(o Options, next mcp.Handler) *Plain {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Found == nil {
		o.Found = func(string) {}
	}
	return &Plain{o: o, next: next, told: make(map[[sha256.Size]byte]bool)}
}

// Figures returns what was found until now.
func (p *Plain) Figures() Figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.figures
}

// Handle implements mcp.Handler.
func (p *Plain) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if p.o.Text.Results == strip && req.Notify != nil {
		own, notify := *req, req.Notify
		own.Notify = func(n mcp.Notification) { notify(p.message(n)) }
		req = &own
	}
	if p.o.Text.Definitions == keep {
		result, err := p.next.Handle(ctx, req)
		return p.result(result), err
	}
	switch req.Method {
	case "tools/call", "prompts/get":
		if p.badName(req.Name) {
			return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "unknown name: this one is too long, or has characters that nobody sees, and is not offered for that")
		}
	}
	result, err := p.next.Handle(ctx, req)
	if err != nil {
		return result, p.fault(err)
	}
	if k, ok := kindOf(req.Method); ok {
		return p.list(ctx, k, result), nil
	}
	if req.Method == "server/discover" {
		return p.about(ctx, result), nil
	}
	return p.result(result), nil
}

// badName says whether tools and prompts of that name are left out.
func (p *Plain) badName(name string) bool {
	return p.o.Text.NameLength > 0 && len(name) > p.o.Text.NameLength || plaintext.Hides(name)
}

// kind is a list of definitions.
type kind struct {
	name   string
	member string // of the list's result
	key    string // of an entry, by which it is asked for
	called bool   // key is a name that models write, and not a URI
}

func kindOf(method string) (kind, bool) {
	switch method {
	case "tools/list":
		return kind{"tool", "tools", "name", true}, true
	case "prompts/list":
		return kind{"prompt", "prompts", "name", true}, true
	case "resources/list":
		return kind{"resource", "resources", "uri", false}, true
	case "resources/templates/list":
		return kind{"template", "resourceTemplates", "uriTemplate", false}, true
	}
	return kind{}, false
}

// list cleans the entries of a page. A page with nothing to take out stays the
// same bytes.
func (p *Plain) list(ctx context.Context, k kind, page mcp.Result) mcp.Result {
	all := page.Get(k.member)
	same := true
	for element := range jsonrpc.Elements(all) {
		if shown := p.entry(k, element); !shown.same() {
			same = false
			break
		}
	}
	if same {
		return page
	}
	out := make([]byte, 0, len(all))
	out = append(out, '[')
	for element := range jsonrpc.Elements(all) {
		shown := p.entry(k, element)
		if !shown.same() {
			p.tell(ctx, k.name, shown, element)
		}
		if shown.withheld {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, shown.text...)
	}
	return mcp.Result{Object: page.With(jsonrpc.Edit{Name: k.member, Value: append(out, ']')})}
}

// shown is a definition as clients get it.
type shown struct {
	name     string
	text     []byte
	found    plaintext.Found
	withheld bool
}

func (s shown) same() bool { return !s.withheld && !s.found.Any() }

// entry cleans one definition.
func (p *Plain) entry(k kind, element []byte) shown {
	s := shown{}
	s.text, s.found = plaintext.JSON(element, int(p.o.Text.Length))
	s.name, _ = jsonrpc.Unquote(jsonrpc.Lookup(element, k.key))
	s.withheld = k.called && p.badName(s.name)
	if !s.found.Any() {
		return s
	}
	s.withheld = s.withheld || s.found.Names > 0 || plaintext.Hides(s.name) || p.o.Text.Definitions == withhold && s.found.Signs() > 0
	if k.name == "prompt" {
		for argument := range jsonrpc.Elements(jsonrpc.Lookup(element, "arguments")) {
			name, _ := jsonrpc.Unquote(jsonrpc.Lookup(argument, "name"))
			s.withheld = s.withheld || plaintext.Hides(name)
		}
	}
	return s
}

// about cleans what a server says of itself.
func (p *Plain) about(ctx context.Context, result mcp.Result) mcp.Result {
	text, found := plaintext.JSON(result.Raw(), int(p.o.Text.Length))
	if !found.Any() {
		return result
	}
	s := shown{text: text, found: found, withheld: p.o.Text.Definitions == withhold && found.Signs() > 0}
	p.tell(ctx, "instructions", s, result.Raw())
	clean, ok := jsonrpc.Split(text)
	if !ok {
		return mcp.EmptyResult() // it was no object before
	}
	if s.withheld {
		clean = clean.With(jsonrpc.Edit{Name: "instructions"})
	}
	return mcp.Result{Object: clean}
}

// tell writes down, once for each definition, what was found in it.
func (p *Plain) tell(ctx context.Context, kind string, s shown, definition []byte) {
	sum := sha256.Sum256(append([]byte(kind), definition...))
	p.mu.Lock()
	known := p.told[sum] || len(p.told) >= maxTold
	if !known {
		p.told[sum] = true
		if s.withheld {
			p.figures.Withheld++
		} else {
			p.figures.Stripped++
		}
	}
	full := len(p.told) == maxTold
	p.mu.Unlock()
	if known {
		return
	}
	p.o.Found(kind)
	name := strconv.QuoteToASCII(s.name[:min(len(s.name), 200)])
	what := s.found.String()
	if what == "" {
		what = "a name that is too long"
	}
	if s.withheld {
		p.o.Log.WarnContext(ctx, "definition is left out for what nobody sees in it", "server", p.o.Server, "kind", kind, "name", name, "found", what)
	} else {
		p.o.Log.WarnContext(ctx, "definition is shown without what nobody sees in it", "server", p.o.Server, "kind", kind, "name", name, "found", what)
	}
	if full {
		p.o.Log.WarnContext(ctx, "further definitions of this server that hide something are not logged", "server", p.o.Server)
	}
}
