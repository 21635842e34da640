package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// found is a tool as its server lists it.
type found struct {
	name   string
	schema schema // of its arguments; the zero schema when the server did not tell
}

// find looks for the tool in the server's list. A server that does not list is
// called all the same, under the name as it was typed.
func (e errand) find(ctx context.Context) (found, error) {
	list, page, err := all(ctx, e.line, e.line.client, tools)
	if err != nil {
		return e.unlisted(ctx, err)
	}
	var names []string
	byName := make(map[string]jsonrpc.Object)
	for _, o := range list {
		name, ok := o.String("name")
		if ok && e.line.config.Tools.Allows(name) {
			names = append(names, name)
			byName[name] = o
		}
	}
	for _, name := range e.aim.names {
		if o, ok := byName[name]; ok {
			return found{name, newSchema(o.Get("inputSchema"))}, nil
		}
	}
	if err := e.absent(missingIn(page)); err != nil {
		return found{}, err
	}
	return found{}, e.unknown(names)
}

// absent is why a tool is not in the list of a gateway: it could not ask the
// server that has it. Nil when that is not why.
func (e errand) absent(servers []missing) error {
	for _, m := range servers {
		for _, name := range e.aim.names {
			if strings.HasPrefix(name, m.Server) && m.Server != "" {
				return exit(exitUnreachable, fmt.Errorf("%s: the gateway cannot list server %s: %s", e.aim.whole, oneLine(m.Server), oneLine(m.Reason)))
			}
		}
	}
	return nil
}

// unlisted goes on without a list when the server has answered that it does not
// have one.
func (e errand) unlisted(ctx context.Context, err error) (found, error) {
	var wire *mcp.Error
	if ctx.Err() != nil || !errors.As(err, &wire) || wire.Code != jsonrpc.CodeMethodNotFound || len(e.aim.names) == 0 {
		return found{}, err
	}
	e.screen.say("warning: the server has no list of tools; values are sent as text")
	return found{name: e.aim.names[0]}, nil
}

func (e errand) unknown(names []string) error {
	prefix := ""
	if e.aim.server != adHocName && e.aim.server != remoteName {
		prefix = e.aim.server + "."
	}
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = prefix + name
	}
	if len(e.aim.names) == 0 {
		return exit(exitUsage, fmt.Errorf("name one of the tools of %s: %s", e.aim.whole, several(full)))
	}
	text := fmt.Sprintf("there is no tool %s", e.aim.whole)
	for _, name := range e.aim.names {
		if guess := strict.Suggest(name, names); guess != "" {
			return exit(exitNotFound, fmt.Errorf("%s; did you mean %s?", text, prefix+guess))
		}
	}
	if len(names) == 0 {
		return exit(exitNotFound, fmt.Errorf("%s; the server has none", text))
	}
	return exit(exitNotFound, fmt.Errorf("%s; there are: %s", text, several(full)))
}

// several names at most twenty.
func several(names []string) string {
	const most = 20
	if len(names) <= most {
		return oneLine(strings.Join(names, ", "))
	}
	return oneLine(fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most))
}
