package elicit

import (
	"context"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	elicitation = "elicitation/create"
	// maxQuestions is how much one result may ask at once.
	maxQuestions = 32
)

// fault is what is wrong with a question; zero when nothing is.
type fault struct {
	reason Reason
	detail string
}

// verdict is what becomes of questions that came together.
type verdict struct {
	inputs   []jsonrpc.Edit // the questions that pass, as they are passed on
	changed  bool           // one of inputs is not as it came, or not all pass
	declined []jsonrpc.Edit // answers to the others
	ends     *mcp.Error     // the call cannot go on
}

// on is the result with its questions as they are passed on.
func (v verdict) on(result jsonrpc.Object) jsonrpc.Object {
	if !v.changed {
		return result
	}
	return result.With(jsonrpc.Edit{Name: "inputRequests", Value: jsonrpc.Object{}.Append(nil, v.inputs...)})
}

// without is what is said of a task, with the questions that pass. When there are
// none left, the task waits for nobody.
func (v verdict) without(task jsonrpc.Object) jsonrpc.Object {
	if len(v.inputs) > 0 || !v.changed {
		return v.on(task)
	}
	edits := []jsonrpc.Edit{{Name: "inputRequests"}}
	if status, _ := task.String("status"); status == "input_required" {
		edits = append(edits, jsonrpc.Edit{Name: "status", Value: []byte(`"working"`)})
	}
	return task.With(edits...)
}

// weigh judges inputRequests. counted says that they are asked now: what is said
// of a task is said again and again.
func (g *guard) weigh(ctx context.Context, req *mcp.Request, inputs []byte, counted bool) verdict {
	var v verdict
	all, ok := jsonrpc.Split(inputs)
	if !ok {
		return v // nothing is asked
	}
	if len(all.Members()) > maxQuestions {
		f := fault{Shape, fmt.Sprintf("asks %d things at once, and at most %d can be asked", len(all.Members()), maxQuestions)}
		g.refused(ctx, req, elicitation, f)
		v.changed, v.ends = true, mcp.Errorf(mcp.CodeForbidden, "server %s %s", g.server, f.detail)
		return v
	}
	users := 0 // questions for the user
	for _, m := range all.Members() {
		method, edit, f := g.question(m)
		switch {
		case f.reason == "":
			v.inputs = append(v.inputs, edit)
			v.changed = v.changed || string(edit.Value) != string(m.Value)
			if method == elicitation {
				users++
			}
			continue
		case method != elicitation: // no answer says no to these
			v.ends = mcp.Errorf(mcp.CodeMissingCapability, "the server needs %q: server %s %s", method, g.server, f.detail)
		}
		v.changed = true
		v.declined = append(v.declined, declining(m.Name, f))
		g.refused(ctx, req, method, f)
	}
	if counted && v.ends == nil && len(v.declined) == 0 && !g.take(ctx, req, users) {
		g.tooOften(ctx, req, &v)
	}
	return v
}

// tooOften declines all questions for the user.
func (g *guard) tooOften(ctx context.Context, req *mcp.Request, v *verdict) {
	f := fault{Often, fmt.Sprintf("more than %d questions to one caller in a minute: wait before the next", g.asks.PerMinute)}
	g.refused(ctx, req, elicitation, f)
	var rest []jsonrpc.Edit
	for _, edit := range v.inputs {
		request, _ := jsonrpc.Split(edit.Value)
		if method, _ := request.String("method"); method != elicitation {
			rest = append(rest, edit)
			continue
		}
		v.declined = append(v.declined, declining(edit.Name, f))
	}
	v.inputs, v.changed = rest, true
}

// declining is the answer to a question that was not passed on. Whoever speaks
// with a server of a revision that has errors for that makes it one.
func declining(key string, f fault) jsonrpc.Edit {
	text := jsonrpc.AppendString([]byte(`{"action":"decline","_meta":{"`+mcp.MetaRefused+`":`), "not passed on to the user: "+f.detail)
	return jsonrpc.Edit{Name: key, Value: append(text, "}}"...)}
}

// question judges one question, and returns it as it is passed on.
func (g *guard) question(m jsonrpc.Member) (method string, edit jsonrpc.Edit, f fault) {
	edit = jsonrpc.Edit(m)
	request, ok := jsonrpc.Split(m.Value)
	method, named := request.String("method")
	if !ok || !named {
		return elicitation, edit, fault{Shape, "the question has no method"}
	}
	params, _ := jsonrpc.Split(request.Get("params"))
	if name := misspelt(request, "method", "params"); name != "" {
		return elicitation, edit, twofold(name)
	}
	if method != elicitation {
		return method, edit, g.kind(method)
	}
	if name := misspelt(params, "mode", "message", "requestedSchema", "url"); name != "" {
		return method, edit, twofold(name)
	}
	changes, f := g.elicitation(params)
	if f.reason == "" && len(changes) > 0 {
		edit.Value = request.Append(nil, jsonrpc.Edit{Name: "params", Value: params.Append(nil, changes...)})
	}
	return method, edit, f
}

// kind refuses what is not a question to the user, where the server may not ask
// for it.
func (g *guard) kind(method string) fault {
	switch {
	case method == "sampling/createMessage" && g.without.Has(mcp.Sampling):
		return fault{Kind, "may not ask for answers of the client's model here"}
	case method == "roots/list" && g.without.Has(mcp.Roots):
		return fault{Kind, "may not ask for the client's folders here"}
	}
	return fault{}
}

// elicitation judges a question to the user, and returns what of it is changed.
func (g *guard) elicitation(params jsonrpc.Object) ([]jsonrpc.Edit, fault) {
	mode, _ := params.String("mode")
	url := mode == "url"
	switch {
	case url && g.without.Has(mcp.ElicitURL):
		return nil, fault{Kind, "this server may not ask to open links here"}
	case !url && g.without.Has(mcp.ElicitForm):
		return nil, fault{Kind, "this server may not ask by forms here"}
	}
	if !url || params.Get("requestedSchema") != nil {
		if f := g.form(params); f.reason != "" {
			return nil, f
		}
	}
	prefix := ""
	if g.asks.Named {
		prefix = "[" + g.server + "] "
	}
	var edits []jsonrpc.Edit
	if url || params.Get("url") != nil {
		to, f := g.link(params)
		if f.reason != "" {
			return nil, f
		}
		if was, _ := params.String("url"); was != to.text {
			edits = append(edits, jsonrpc.Edit{Name: "url", Value: jsonrpc.AppendString(nil, to.text)})
		}
		if g.asks.Named {
			prefix = "[" + g.server + ", leads to " + to.host + "] "
		}
	}
	if message, ok := params.String("message"); prefix != "" && (ok || params.Get("message") == nil) {
		edits = append(edits, jsonrpc.Edit{Name: "message", Value: jsonrpc.AppendString(nil, prefix+message)})
	}
	return edits, fault{}
}

// misspelt returns a member that differs from one of names by case alone: who
// reads without regard to case would take it for that one.
func misspelt(o jsonrpc.Object, names ...string) string {
	for _, m := range o.Members() {
		for _, name := range names {
			if m.Name != name && strings.EqualFold(m.Name, name) {
				return m.Name
			}
		}
	}
	return ""
}

func twofold(name string) fault {
	return fault{Shape, fmt.Sprintf("the member %q can be taken for another: write it as the specification does", name)}
}
