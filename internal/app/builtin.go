package app

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/server"
)

// inhouse are the built-in servers that exist now. After a reload there may be
// two of one name for a while: the newest is last.
type inhouse struct {
	mu  sync.Mutex // guards all
	all []*ownServer
}

// ownServer is a built-in server as the rest of the house has it.
type ownServer struct {
	mcp.Handler
	name   string
	server *server.Server
	among  *inhouse
}

// Close closes the server; package upstream calls it.
func (o *ownServer) Close() error {
	o.among.mu.Lock()
	o.among.all = slices.DeleteFunc(o.among.all, func(other *ownServer) bool { return other == o })
	o.among.mu.Unlock()
	return o.server.Close()
}

// find returns the server of a name; nil when no built-in server has it.
func (i *inhouse) find(name string) *server.Server {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, o := range slices.Backward(i.all) {
		if o.name == name {
			return o.server
		}
	}
	return nil
}

// Gather implements prometheus.Gatherer: the metrics of the built-in servers in use.
func (i *inhouse) Gather() ([]*dto.MetricFamily, error) {
	i.mu.Lock()
	newest := make(map[string]prometheus.Gatherer, len(i.all))
	for _, o := range i.all {
		newest[o.name] = o.server.Gatherer()
	}
	i.mu.Unlock()
	return prometheus.Gatherers(slices.Collect(maps.Values(newest))).Gather()
}

// builtin makes the built-in servers of cfg for the server that is called name.
func (a *App) builtin(cfg *config.Config, name string) func(string, json.RawMessage) (mcp.Handler, error) {
	if a.o.Builtin != nil {
		return a.o.Builtin
	}
	return func(kind string, settings json.RawMessage) (mcp.Handler, error) {
		if a.o.Servers == nil {
			return nil, fmt.Errorf("there is no built-in server %q: this program has none", kind)
		}
		made, err := a.o.Servers(kind, &server.Env{
			Name: name, Version: a.o.Version, Log: a.log, Settings: settings, DataDir: dataDir(cfg),
			Proxy: a.o.Proxy, Secret: a.cursorKey(cfg),
		})
		if err != nil {
			return nil, err
		}
		handler, err := made.Handler()
		if err != nil {
			return nil, err
		}
		own := &ownServer{Handler: handler, name: name, server: made, among: &a.inhouse}
		a.inhouse.mu.Lock()
		defer a.inhouse.mu.Unlock()
		a.inhouse.all = append(a.inhouse.all, own)
		return own, nil
	}
}

// dataDir is where built-in servers may keep data: beside the file of what the
// gateway itself remembers. Empty when that is a database.
func dataDir(cfg *config.Config) string {
	if cfg.State.Path == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(cfg.State.Path), "servers")
}

// cursorKey is what built-in servers seal cursors with; nil for a key of their own.
// The file is its owner's alone, and has what signing keys are encrypted with:
// nobody can make a cursor by it who could not be any caller already.
func (a *App) cursorKey(cfg *config.Config) []byte {
	secret := []byte(cfg.Session.Secret.Reveal())
	if len(secret) > 0 || !a.o.KeepCursors || cfg.State.Driver != "sqlite" || cfg.State.Path == "" {
		return cursorSecret(secret)
	}
	err := os.MkdirAll(filepath.Dir(cfg.State.Path), 0o700)
	if err == nil {
		secret, err = sealingSecret(cfg)
	}
	if err != nil {
		a.log.Warn("cursors will not be good in another process", "err", err)
		return nil
	}
	return cursorSecret(secret)
}

// cursorSecret is a key of its own made of the gateway's, so that all replicas
// know each other's cursors; nil when the gateway has no secret.
func cursorSecret(secret []byte) []byte {
	if len(secret) == 0 {
		return nil
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "dragoman built-in servers", 32)
	if err != nil {
		return nil // only for keys that are too long
	}
	return key
}

// enquire adds what a built-in server says of itself to its health.
func (a *App) enquire(ctx context.Context, name string, body *serverReport) {
	s := a.inhouse.find(name)
	if s == nil {
		return
	}
	said := s.Health(ctx)
	if body.Status == "healthy" {
		body.Status = said.Status
	}
	for dependency, d := range said.Dependencies {
		body.Dependencies[dependency] = dependencyOf(d)
	}
}

func dependencyOf(d server.Dependency) dependency {
	return dependency{Status: d.Status, Reason: d.Reason}
}
