package app

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/guards"
	"github.com/dragoman-mcp/dragoman/internal/policy"
)

// inForce is what guards now.
type inForce struct {
	opened *config.Config    // the configuration that the App was opened with
	guards *guards.Inventory // what guards by the one that was taken up last
}

// mayTake says whether a reload may take up cfg, of which it returns the inventory. a.reloading is held.
func (a *App) mayTake(cfg *config.Config, reload bool) (*guards.Inventory, error) {
	next, err := guards.Of(cfg)
	if err != nil || !reload {
		return next, err
	}
	if host, _, err := net.SplitHostPort(a.inForce.opened.Listen); err == nil && !config.IsLoopback(host) && !cfg.Auth.Guarded() {
		return nil, fmt.Errorf("auth has no way to show who calls, and the gateway listens on %s until it is restarted, where anybody could call", a.inForce.opened.Listen)
	}
	less := guards.Less(a.inForce.guards, next)
	released, err := policy.Released(a.Config(), cfg)
	if err != nil {
		return nil, err
	}
	less = append(less, released...)
	if len(less) == 0 {
		return next, nil
	}
	may := a.inForce.opened.Reload.MayLowerSafety
	a.recordLess(less.Error(), may)
	if may {
		a.log.Warn("the reload takes guards away, as reload.may_lower_safety permits", "guards", less.Error())
		return next, nil
	}
	return nil, &guards.Lowered{Guards: less}
}

// took notes what guards from now on. What takes a restart is as it was. a.reloading is held.
func (a *App) took(cfg *config.Config, next *guards.Inventory) {
	was := a.inForce.opened
	if was == nil {
		a.inForce = inForce{opened: cfg, guards: next}
		return
	}
	now := *cfg
	now.Listen, now.Audit, now.Rates, now.Reload, now.Secrets = was.Listen, was.Audit, was.Rates, was.Reload, was.Secrets
	now.Access.Pinning, now.Telemetry = was.Access.Pinning, was.Telemetry
	a.inForce.guards = next.With(&now)
}

// lessRecordWait bounds the record of a reload that takes guards away.
const lessRecordWait = 5 * time.Second

// recordLess puts into the audit log that a reload would take guards away, and whether it did.
func (a *App) recordLess(less string, taken bool) {
	if a.audit == nil {
		return
	}
	name := "reload to less safety refused"
	if taken {
		name = "reload to less safety"
	}
	ctx, cancel := context.WithTimeout(context.Background(), lessRecordWait)
	defer cancel()
	if err := a.audit.Event(ctx, audit.Event{Name: name, Attrs: [][2]string{{"guards", strings.ReplaceAll(less, "\n", "; ")}}}); err != nil {
		a.log.Warn("a reload to less safety is not in the audit log", "err", err)
	}
}
