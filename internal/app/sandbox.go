package app

import (
	"context"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// Sandboxes reports which sandboxes this system gives to programs.
func (a *App) Sandboxes(ctx context.Context) sandbox.Report { return a.processes.Sandboxes(ctx) }
