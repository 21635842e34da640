package app

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// Sandboxes reports which sandboxes this system gives to programs.
func (a *App) Sandboxes(ctx context.Context) sandbox.Report { return a.processes.Sandboxes(ctx) }

// startRecordWait bounds the record of a start: the program runs already, and
// nobody waits for it.
const startRecordWait = time.Minute

// recordStart puts into the audit log how far a program is kept from the rest,
// so that it can be told later what it could have reached.
func (a *App) recordStart(server string, pid int, c supervisor.Confinement) {
	if a.audit == nil {
		return
	}
	attrs := [][2]string{{"server", server}, {"pid", strconv.Itoa(pid)}, {"sandbox_level", c.Level.String()}, {"wanted_level", c.Wanted.String()}}
	if len(c.Notes) > 0 {
		attrs = append(attrs, [2]string{"not_enforced", strings.Join(c.Notes, "; ")})
	}
	ctx, cancel := context.WithTimeout(context.Background(), startRecordWait)
	defer cancel()
	if err := a.audit.Event(ctx, audit.Event{Name: "program started", Attrs: attrs}); err != nil {
		a.log.Warn("start of a program is not in the audit log", "server", server, "err", err)
	}
}
