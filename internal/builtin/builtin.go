// Package builtin is the table of the servers that are part of this binary. It
// does not know the gateway, and the gateway knows of them only as servers.
package builtin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	builtintime "github.com/dragoman-mcp/dragoman/internal/builtin/time"
	"github.com/dragoman-mcp/dragoman/internal/builtin/web"
	"github.com/dragoman-mcp/dragoman/server"
)

func table() map[string]func(*server.Env) (*server.Server, error) {
	return map[string]func(*server.Env) (*server.Server, error){
		"database":   database.New,
		"httpapi":    httpapi.New,
		"filesystem": filesystem.New,
		"time":       builtintime.New,
		"web":        web.New,
	}
}

// Names returns the names of all built-in servers, sorted.
func Names() []string { return slices.Sorted(maps.Keys(table())) }

// Open makes a built-in server, which the caller closes.
func Open(name string, env *server.Env) (*server.Server, error) {
	make, ok := table()[name]
	if !ok {
		return nil, fmt.Errorf("there is no built-in server %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	return server.Open(env, make)
}
