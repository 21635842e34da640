package policy

import (
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Ask makes the question that a request of the method to a server would be, or
// with an action in place of the method and KIND/NAME in place of the name, the
// question about that. The principal is for the caller to fill in.
func Ask(method, server, name string, arguments jsonrpc.Object) (Question, error) {
	if !strings.Contains(method, "/") {
		kind, of, _ := strings.Cut(name, "/")
		switch Kind(kind) {
		case ofServer:
			return Question{Action: Action(method), Resource: Resource{Kind: ofServer, Server: of}}, nil
		case ofModel, ofContext, ofPlatform:
			return Question{Action: Action(method), Resource: Resource{Kind: Kind(kind), Name: of}}, nil
		}
		return Question{}, fmt.Errorf("%q is no method, such as tools/call; of an action write what it is done to, as in: manage Platform/users", method)
	}
	req := &mcp.Request{Method: method, Name: name}
	if method == "completion/complete" {
		ref := jsonrpc.AppendString([]byte(`{"type":"ref/prompt","name":`), name)
		req.Params = jsonrpc.Object{}.With(jsonrpc.Edit{Name: "ref", Value: append(ref, '}')})
	}
	action, what, ok := target(server, req)
	if !ok {
		return Question{}, fmt.Errorf("everybody who is let in may ask for %s; what is listed is what may be called: ask for that", method)
	}
	return Question{Action: action, Resource: what, Arguments: arguments}, nil
}
