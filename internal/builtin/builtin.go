// Package builtin is the table of the servers that are part of this binary. It
// does not know the gateway, and the gateway knows of them only as handlers.
package builtin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	builtintime "github.com/dragoman-mcp/dragoman/internal/builtin/time"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/sdkserver"
)

// maker makes a server from its settings, a JSON object or nil.
type maker func(version string, settings json.RawMessage) (mcp.Handler, error)

func table() map[string]maker {
	return map[string]maker{"time": newTime}
}

// Names returns the names of all built-in servers, sorted.
func Names() []string { return slices.Sorted(maps.Keys(table())) }

// New makes a built-in server. Its handler has a Close method if it must be closed.
func New(name, version string, settings json.RawMessage) (mcp.Handler, error) {
	make, ok := table()[name]
	if !ok {
		return nil, fmt.Errorf("there is no built-in server %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	return make(version, settings)
}

func newTime(version string, settings json.RawMessage) (mcp.Handler, error) {
	var none map[string]any
	if len(settings) > 0 && (json.Unmarshal(settings, &none) != nil || len(none) > 0) {
		return nil, fmt.Errorf("the time server has no settings")
	}
	return sdkserver.New(builtintime.New(version, time.Now))
}
