package pin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// started is how a server is started, by its configuration of then.
type started struct {
	server config.Server
	sight  sight
}

// launchSight describes a launch. It reads the program once for each configuration of a server: what it holds then is
// what Watch and Gate judge.
func (b *Book) launchSight(server config.Server) sight {
	b.mu.Lock()
	known, ok := b.launches[server.Name]
	b.mu.Unlock()
	if ok && reflect.DeepEqual(known.server, server) {
		return known.sight
	}
	s := newSight(kindLaunch, kindLaunch, launchOf(server))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.launches[server.Name] = started{server, s}
	return s
}

// Gate returns what is to be asked before a program of the server is started: with nil whether it may be at all, and, of
// one whose package was fetched from a registry, with the JSON text that says what that is. What is not approved is an
// *mcp.Error with mcp.CodeQuarantined, and so is everything while the store does not answer.
func (b *Book) Gate(server config.Server) func(ctx context.Context, contents []byte) error {
	launch := b.launchSight(server)
	return func(ctx context.Context, contents []byte) error {
		s := launch
		if contents != nil {
			s = newSight(kindPackage, kindPackage, contents)
		}
		ok, err := b.judge(ctx, server.Name, []sight{s})
		if err != nil {
			return b.unknown(ctx, server.Name, err)
		}
		if ok[0] {
			return nil
		}
		return b.held(ctx, server.Name, s.name)
	}
}

// unknown is the error of a store that does not answer: then nothing is approved.
func (b *Book) unknown(ctx context.Context, server string, err error) error {
	b.o.Log.ErrorContext(ctx, "approvals cannot be read, so nothing of the server is used", "server", server, "err", err)
	return mcp.Errorf(mcp.CodeUnavailable, "what was approved of server %s cannot be read now", server)
}

// held is the error for what is not approved of a server's start.
func (b *Book) held(ctx context.Context, server string, n name) error {
	state, _, err := b.status(ctx, server, n)
	if err != nil {
		return b.unknown(ctx, server, err)
	}
	what := map[string]string{kindLaunch: "how server %s is started", kindPackage: "the package that server %s is started from"}[n.kind]
	why := map[string]string{pending: "waits for approval", rejected: "was rejected"}[state]
	if why == "" {
		why = "is not what was approved"
	}
	return mcp.ErrorData(mcp.CodeQuarantined, fmt.Sprintf(what+" %s; an operator can look at it with: dragoman tools diff %s", server, why, server),
		map[string]string{"server": server, "state": state})
}

// Unseen is how long an approval of what a server will show lasts: longer than it takes to fetch and to start it.
const Unseen = 15 * time.Minute

// ApproveUnseen approves what waits of a server, and what it shows for the first time until Unseen has passed: its package,
// instructions, tools, prompts and templates. What was decided about before, and changes, waits all the same.
func (b *Book) ApproveUnseen(ctx context.Context, server, by string) ([]string, error) {
	now := b.o.Now()
	definition := fmt.Appendf(nil, `{"until":%q}`, now.Add(Unseen).UTC().Format(time.RFC3339))
	one := store.Pin{Server: server, Kind: kindGrant, Name: kindGrant, Hash: digest(definition), Definition: definition, State: approved, By: by, At: now, Created: now}
	all, err := b.o.Store.List(ctx, server)
	if err != nil {
		return nil, fmt.Errorf("read definitions of server %s: %w", server, err)
	}
	if err := b.drop(ctx, grantsOf(all)); err != nil {
		return nil, fmt.Errorf("write the decision: %w", err)
	}
	if err := b.o.Store.Put(ctx, one); err != nil && !errors.Is(err, store.ErrConflict) { // one of this second is as good
		return nil, fmt.Errorf("write the decision: %w", err)
	}
	b.Forget(server)
	return b.Approve(ctx, server, nil, by)
}

// grantsOf are approvals of what was not seen yet, as if they waited: so they can be dropped.
func grantsOf(all []store.Pin) map[string]store.Pin {
	out := make(map[string]store.Pin)
	for _, p := range all {
		if p.Kind == kindGrant {
			p.State = pending
			out[p.Hash] = p
		}
	}
	return out
}

// grant is who has approved what the server shows now, unseen; empty for nobody.
func (p *page) grant(now time.Time) string {
	for _, one := range p.pins[name{kindGrant, kindGrant}] {
		if one.State == approved && !now.Before(one.At) && now.Before(one.At.Add(Unseen)) {
			return one.By + ", unseen"
		}
	}
	return ""
}

// Loose tells the packages of servers that were approved without being known, since their launchers fetch them: why, by
// the server's name.
func (b *Book) Loose(ctx context.Context, server string) (map[string]string, error) {
	all, err := b.o.Store.List(ctx, server)
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	out := make(map[string]string)
	for _, p := range all {
		if p.Kind == kindPackage && p.State == approved && bytes.Contains(p.Definition, []byte(`"not_pinned":`)) {
			out[p.Server] = members(p.Definition)["not_pinned"]
		}
	}
	return out, nil
}
