package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

// reloader takes up a changed configuration, whoever asks for it: a signal, a
// change of the file, or a request.
type reloader struct {
	src    *source
	app    *app.App
	server *app.Server
	log    *slog.Logger
	mu     sync.Mutex // one at a time
}

// reload reads the configuration and takes it up whole, or reports its faults
// and changes nothing. It returns what is now served.
func (r *reloader) reload() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cfg, name, err := r.src.load()
	if err == nil {
		err = r.app.Reload(cfg)
	}
	if err != nil {
		r.log.Error("configuration was not taken up, the old one stays in use", "file", name, "err", err)
		return "", err
	}
	r.server.Refresh()
	r.log.Info("configuration taken up", "file", name, "servers", len(cfg.Servers))
	return count(len(cfg.Servers), "server") + " from " + name, nil
}

func (r *reloader) onSignal(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-hup:
			_, _ = r.reload() // it has been logged
		case <-ctx.Done():
			return
		}
	}
}

func (r *reloader) onChange(ctx context.Context, file string) {
	err := supervisor.Watch(ctx, []string{file}, func(string) {
		_, _ = r.reload() // it has been logged
	})
	if err != nil && ctx.Err() == nil {
		r.log.Warn("the configuration file cannot be watched; use SIGHUP or dragoman reload", "file", file, "err", err)
	}
}
