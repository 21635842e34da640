package upstream

import (
	"context"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// builtin is a server of this binary.
type builtin struct {
	handler mcp.Handler
	name    string
}

func (b *builtin) open(context.Context, *mcp.Client) (*opened, error) {
	return &opened{
		handler: b.handler, revision: mcp.Revision20260728, how: "builtin",
		close: func(context.Context) error { return nil },
	}, nil
}

func (b *builtin) address() string { return "builtin " + b.name }
func (b *builtin) weight() int     { return 1 }
func (b *builtin) reset()          {}

func (b *builtin) close() error {
	if c, ok := b.handler.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}
