package definition

import (
	"errors"

	"github.com/dragoman-mcp/dragoman/internal/plaintext"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// result cleans a result where that is wanted, and always one that says that a
// tool has failed: that is an error, which a model reads and acts on.
func (p *Plain) result(r mcp.Result) mcp.Result {
	failed := p.o.Text.Definitions != keep && string(r.Get("isError")) == "true"
	if !failed && p.o.Text.Results != strip {
		return r
	}
	kind := "result"
	if failed {
		kind = "error"
	}
	return mcp.Result{Object: p.clean(r.Object, kind)}
}

// message cleans a notification.
func (p *Plain) message(n mcp.Notification) mcp.Notification {
	n.Params = p.clean(n.Params, "message")
	return n
}

// maxMembers bounds the members that are edited one by one, which takes time by
// its square. No result of the protocol has as many.
const maxMembers = 256

// clean cleans the members of what is said, but for those that are the server's
// own and come back to it as they are.
func (p *Plain) clean(o jsonrpc.Object, kind string) jsonrpc.Object {
	if len(o.Members()) > maxMembers {
		if text, found := plaintext.JSON(o.Raw(), 0); found.Any() {
			p.o.Found(kind)
			o, _ = jsonrpc.Split(text)
		}
		return o
	}
	var edits []jsonrpc.Edit
	for _, m := range o.Members() {
		switch {
		case m.Name == "requestState", m.Name == "nextCursor", m.Name == "progressToken":
		case plaintext.Hides(m.Name):
			edits = append(edits, jsonrpc.Edit{Name: m.Name})
		default:
			if text, found := plaintext.JSON(m.Value, 0); found.Any() {
				edits = append(edits, jsonrpc.Edit{Name: m.Name, Value: text})
			}
		}
	}
	if edits == nil {
		return o
	}
	p.o.Found(kind)
	return o.With(edits...)
}

// fault is an error as a client may read it.
func (p *Plain) fault(err error) error {
	var wire *mcp.Error
	if !errors.As(err, &wire) {
		return err // nothing of it is told
	}
	message, found := plaintext.Clean(wire.Message)
	message, cut := plaintext.Cut(message, int(p.o.Text.Length))
	data, inData := plaintext.JSON(wire.Data, 0)
	if !found.Add(cut).Add(inData).Any() {
		return err
	}
	p.o.Found("error")
	return &cleaned{wire: &mcp.Error{Code: wire.Code, Message: message, Data: data}, cause: err}
}

// cleaned is an error in front of the one that hid something.
type cleaned struct {
	wire  *mcp.Error
	cause error
}

func (c *cleaned) Error() string { return c.wire.Error() }

// Unwrap gives what may be told first, which is what mcp.WireError takes.
func (c *cleaned) Unwrap() []error { return []error{c.wire, c.cause} }
