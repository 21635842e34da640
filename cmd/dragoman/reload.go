package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

func newReload() *cobra.Command {
	r := &reach{}
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running gateway take up its changed configuration",
		Long: `Have a running gateway read its configuration again. A good one is taken up
whole, without dropping a call; of a faulty one the faults are shown, and
nothing changes. Nor does it of one that guards less than the one in use, unless
reload.may_lower_safety permits that: it takes a restart. The gateway is the one
at --url, or where the configuration says that it listens.`,
		GroupID: groupRun,
		Args:    nothingMore,
		RunE:    r.reload,
	}
	r.flags(cmd)
	return cmd
}

func (r *reach) reload(cmd *cobra.Command, _ []string) error {
	c, err := r.control(cmd)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := r.within(cmd.Context())
	defer cancel()
	var body struct{ Serving string }
	err = c.ask(ctx, http.MethodPost, "/reload", &body)
	var coded *exitError
	if errors.As(err, &coded) && coded.code == exitConfig {
		why := "the new one is faulty:\n"
		if errors.Is(err, errNewOne) {
			why = ""
		}
		lines := strings.ReplaceAll(why+coded.err.Error(), "\n", "\n  ")
		return exit(exitConfig, fmt.Errorf("the gateway at %s keeps its old configuration, since %s", c.base, lines))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "serving %s\n", oneLine(body.Serving))
	return nil
}

// reloader takes up a changed configuration, whoever asks for it: a signal, a
// change of the file, or a request.
type reloader struct {
	src    *source
	app    *app.App
	server *app.Server
	log    *slog.Logger
	output io.Writer // of log

	mu   sync.Mutex        // one at a time; guards what follows
	read [sha256.Size]byte // digest of the file when it was read last; zero before that
}

// reload reads the configuration and takes it up whole, or reports its faults
// and changes nothing. It returns what is now served.
func (r *reloader) reload() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = digest(r.src.path()) // before: what changes meanwhile is another change
	cfg, name, err := r.src.load()
	if err == nil {
		legible(cfg, r.output)
		err = r.app.Reload(cfg)
	}
	if err != nil {
		r.log.Error("configuration was not taken up, the old one stays in use", "file", name, "err", err)
		return "", err
	}
	if err := r.server.Refresh(); err != nil {
		r.log.Error("servers were taken up, who may call was not", "file", name, "err", err)
		return "", err
	}
	warn(r.log, cfg)
	r.log.Info("configuration taken up", "file", name, "servers", len(cfg.Servers))
	return count(len(cfg.Servers), "server") + " from " + name, nil
}

// warn says what is to be said of a configuration that is in use.
func warn(log *slog.Logger, cfg *config.Config) {
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "warning", w)
	}
}

// knows reports whether the file is as it was when it was last read. Who edits it and
// asks for it to be read has it read once.
func (r *reloader) knows(file string) bool {
	now := digest(file)
	r.mu.Lock()
	defer r.mu.Unlock()
	return now == r.read && now != [sha256.Size]byte{}
}

// digest is that of a file's content; zero when it cannot be read.
func digest(file string) [sha256.Size]byte {
	text, err := os.ReadFile(file)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(text)
}

func (r *reloader) onSignal(ctx context.Context, hup <-chan os.Signal) {
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
		if !r.knows(file) {
			_, _ = r.reload() // it has been logged
		}
	})
	if err != nil && ctx.Err() == nil {
		r.log.Warn("the configuration file cannot be watched; use SIGHUP or dragoman reload", "file", file, "err", err)
	}
}
