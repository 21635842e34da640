package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of one call that needs input: how often a server may ask, and how often
// it may say "come again" without asking anything.
const (
	maxRounds = 32
	maxShed   = 4
	shedDelay = 250 * time.Millisecond
)

// courtesy is how long a server may take to hear that a call is given up.
const courtesy = 2 * time.Second

// asker answers what a server asks for in mid-call: questions to the person at
// the terminal, and the directories that --root names.
type asker struct {
	screen *screen
	wait   *progress     // of the call; held while a question stands on the screen
	in     io.Reader     // a terminal; nil when nobody can be asked
	lines  <-chan string // of in, from the first question on; closed at its end
	roots  []string
}

// listen begins to read. A read of a terminal cannot be ended: this goroutine
// lasts as long as the command.
func (a *asker) listen() {
	lines := make(chan string)
	a.lines = lines
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(a.in)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
}

// kinds is what a server may ask for.
func (a *asker) kinds() mcp.Kinds {
	var k mcp.Kinds
	if a.in != nil {
		k |= mcp.ElicitForm | mcp.ElicitURL
	}
	if len(a.roots) > 0 {
		k |= mcp.Roots
	}
	return k
}

// complete makes a call until its result is the last word (2026-07-28,
// basic/patterns/mrtr).
func (a *asker) complete(ctx context.Context, h mcp.Handler, req *mcp.Request) (mcp.Result, error) {
	shed := 0
	for range maxRounds {
		result, err := h.Handle(ctx, req)
		if err != nil || result.Type() != mcp.InputRequired {
			return result, err
		}
		requests, _ := jsonrpc.Split(result.Get("inputRequests"))
		if len(requests.Members()) == 0 {
			if shed++; shed > maxShed {
				return mcp.Result{}, mcp.Errorf(mcp.CodeBusy, "the server asked %d times to come again later", shed)
			}
			if err := pause(ctx, shedDelay<<shed); err != nil {
				return mcp.Result{}, err
			}
		}
		answers, err := a.answer(ctx, requests)
		if err != nil {
			req.GiveUp(ctx, h, result, courtesy)
			return mcp.Result{}, err
		}
		req = req.Again(result, answers)
	}
	return mcp.Result{}, fmt.Errorf("the server asked for input %d times, that is too often", maxRounds)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// answer makes the inputResponses for inputRequests.
func (a *asker) answer(ctx context.Context, requests jsonrpc.Object) ([]byte, error) {
	a.wait.hold()
	var edits []jsonrpc.Edit
	for _, m := range requests.Members() {
		request, _ := jsonrpc.Split(m.Value)
		method, _ := request.String("method")
		params, _ := jsonrpc.Split(request.Get("params"))
		mode, _ := params.String("mode")
		var value []byte
		var err error
		switch {
		case method == "elicitation/create" && a.in != nil && mode == "url":
			value, err = a.visit(ctx, params)
		case method == "elicitation/create" && a.in != nil:
			value, err = a.form(ctx, params)
		case method == "roots/list" && len(a.roots) > 0:
			value = a.rootList()
		default:
			err = exit(exitFailure, errors.New(unanswerable(method)))
		}
		if err != nil {
			return nil, err
		}
		edits = append(edits, jsonrpc.Edit{Name: m.Name, Value: value})
	}
	return jsonrpc.Object{}.Append(nil, edits...), nil
}

// unanswerable says why a request of the server is not answered. A server that
// keeps to the protocol does not make it, since nobody offered to.
func unanswerable(method string) string {
	switch method {
	case "elicitation/create":
		return "the tool has a question for a person, and standard input is no terminal"
	case "sampling/createMessage":
		return "the tool wants a model to answer (sampling/createMessage), and this command has none"
	case "roots/list":
		return "the tool asks for roots: name directories with --root"
	}
	return "the tool asks for " + oneLine(method) + ", which this command does not know"
}

func (a *asker) rootList() []byte {
	list := []byte{'['}
	for i, dir := range a.roots {
		if i > 0 {
			list = append(list, ',')
		}
		address := url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}
		list = jsonrpc.Object{}.Append(list,
			jsonrpc.Edit{Name: "uri", Value: jsonrpc.AppendString(nil, address.String())},
			jsonrpc.Edit{Name: "name", Value: jsonrpc.AppendString(nil, filepath.Base(dir))})
	}
	return jsonrpc.Object{}.Append(nil, jsonrpc.Edit{Name: "roots", Value: append(list, ']')})
}

// errEnd is the end of standard input: nobody is there to answer.
var errEnd = errors.New("standard input has ended")

// read asks on one line and returns what is typed.
func (a *asker) read(ctx context.Context, prompt string) (string, error) {
	if a.lines == nil {
		a.listen()
	}
	fmt.Fprint(a.screen.err, prompt)
	select {
	case line, ok := <-a.lines:
		if !ok {
			fmt.Fprintln(a.screen.err)
			return "", errEnd
		}
		return strings.TrimSpace(line), nil
	case <-ctx.Done():
		fmt.Fprintln(a.screen.err)
		return "", context.Cause(ctx)
	}
}

// The actions that answer an elicitation.
const (
	accept  = "accept"
	decline = "decline"
	cancel  = "cancel"
)

// choose asks whether to answer at all.
func (a *asker) choose(ctx context.Context, prompt string) (string, error) {
	for {
		word, err := a.read(ctx, prompt)
		if errors.Is(err, errEnd) {
			return cancel, nil
		}
		if err != nil {
			return "", err
		}
		switch strings.ToLower(word) {
		case "", "y", "yes":
			return accept, nil
		case "n", "no":
			return decline, nil
		case "c":
			return cancel, nil
		}
	}
}

func action(word string) []byte {
	return jsonrpc.Object{}.Append(nil, jsonrpc.Edit{Name: "action", Value: jsonrpc.AppendString(nil, word)})
}

func (a *asker) title(params jsonrpc.Object) {
	message, _ := params.String("message")
	fmt.Fprintf(a.screen.err, "\n%s %s\n", paint(a.screen.errColour, bold, "The tool asks:"), harmless(message))
}

// visit asks the person to open a page. Nothing is opened unasked: the address
// is the server's, and is shown whole (2025-11-25, client/elicitation, "URL mode").
func (a *asker) visit(ctx context.Context, params jsonrpc.Object) ([]byte, error) {
	a.title(params)
	address, _ := params.String("url")
	fmt.Fprintf(a.screen.err, "  Open this page in a browser if you trust it:\n    %s\n", harmless(address))
	word, err := a.choose(ctx, "  Opened? [Y]es, [n]o (decline), [c]ancel: ")
	if err != nil {
		return nil, err
	}
	return action(word), nil
}

// form asks field by field.
func (a *asker) form(ctx context.Context, params jsonrpc.Object) ([]byte, error) {
	a.title(params)
	fields := newSchema(params.Get("requestedSchema")).properties()
	for _, f := range fields {
		if about := oneLine(f.text("description")); about != "" {
			fmt.Fprintln(a.screen.err, "  "+paint(a.screen.errColour, dim, oneLine(f.label())+": "+about))
		}
	}
	word, err := a.choose(ctx, "  Answer? [Y]es, [n]o (decline), [c]ancel: ")
	if err != nil || word != accept {
		return action(word), err
	}
	var edits []jsonrpc.Edit
	for _, f := range fields {
		value, err := a.field(ctx, f)
		if errors.Is(err, errEnd) {
			return action(cancel), nil
		}
		if err != nil {
			return nil, err
		}
		if value != nil {
			edits = append(edits, jsonrpc.Edit{Name: f.name, Value: value})
		}
	}
	content := jsonrpc.Object{}.Append(nil, edits...)
	return jsonrpc.Object{}.Append(nil,
		jsonrpc.Edit{Name: "action", Value: []byte(`"accept"`)}, jsonrpc.Edit{Name: "content", Value: content}), nil
}
