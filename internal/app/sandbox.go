package app

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
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
	if c.Phase != "" {
		attrs = append(attrs, [2]string{"phase", c.Phase}, [2]string{"package", c.Package})
	}
	if len(c.Notes) > 0 {
		attrs = append(attrs, [2]string{"not_enforced", strings.Join(c.Notes, "; ")})
	}
	if notes := c.OfPackage(); len(notes) > 0 {
		attrs = append(attrs, [2]string{"package_notes", strings.Join(notes, "; ")})
	}
	a.record(server, "program started", attrs)
}

// recordFetch puts into the audit log which package was fetched for a server, or was not.
func (a *App) recordFetch(server string, f parcel.Report) {
	if a.audit == nil {
		return
	}
	outcome := "fetched"
	if f.Err != nil {
		outcome = a.secrets.Text(f.Err.Error())
	}
	hosts := strings.Join(f.Hosts, ", ")
	if hosts == "" {
		hosts = "every public address"
	}
	attrs := [][2]string{{"server", server}, {"package", f.Package}, {"outcome", outcome}, {"sandbox_level", f.Level},
		{"hosts", hosts}, {"bytes", strconv.FormatInt(f.Bytes, 10)},
		{"traffic", strconv.FormatInt(f.Traffic, 10)}}
	if len(f.Notes) > 0 {
		attrs = append(attrs, [2]string{"notes", strings.Join(f.Notes, "; ")})
	}
	a.record(server, "package fetched", attrs)
}

func (a *App) record(server, event string, attrs [][2]string) {
	ctx, cancel := context.WithTimeout(context.Background(), startRecordWait)
	defer cancel()
	if err := a.audit.Event(ctx, audit.Event{Name: event, Attrs: attrs}); err != nil {
		a.log.Warn("what was done for a program is not in the audit log", "server", server, "event", event, "err", err)
	}
}
