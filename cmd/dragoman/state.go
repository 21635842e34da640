package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/backend"
)

// pageSize is how many records are asked for at once.
const pageSize = 500

// keeper is a command about what the gateway remembers. It works on the store
// itself, so that it needs no gateway that runs; one that does hears of it.
type keeper struct {
	source
	form string
}

// job is what a keeper does once the store is open.
type job func(ctx context.Context, k *kept) error

// kept is an open store, and what else a job needs.
type kept struct {
	*store.Store
	cfg    *config.Config
	screen *screen
	in     io.Reader
	args   []string
	json   bool
}

// command makes a command with exactly n arguments, called as use says.
func (k *keeper) command(use, short, long string, n int, do job) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != n {
				return exit(exitUsage, usageError(cmd, fmt.Errorf("want %s, got %d: %s %s", count(n, "argument"), len(args), cmd.Parent().CommandPath(), use)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return k.run(cmd, args, do) },
	}
	k.source.flags(cmd)
	return cmd
}

// formatted lets a command answer with JSON.
func (k *keeper) formatted(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&k.form, "output", "o", formText, "`FORM`: text or json")
	return cmd
}

func (k *keeper) run(cmd *cobra.Command, args []string, do job) (err error) {
	if k.form != "" {
		if err := oneOf("-o", k.form, formText, formJSON); err != nil {
			return err
		}
	}
	cfg, _, err := k.load()
	if err != nil {
		return err
	}
	s, err := backend.Open(cmd.Context(), cfg.State)
	if err != nil {
		return exit(exitUnreachable, err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	err = do(cmd.Context(), &kept{
		Store: s, cfg: cfg, screen: newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr()), in: cmd.InOrStdin(), args: args, json: k.form == formJSON,
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return exit(exitNotFound, err)
	case errors.Is(err, context.Canceled) && cmd.Context().Err() != nil:
		return exit(exitInterrupted, err)
	}
	return err
}

// password asks for a new password, twice and without showing it, or reads a line
// of standard input where nobody sits.
func (k *kept) password(ctx context.Context) (string, error) {
	f, ok := k.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(k.in, 64<<10)).ReadString('\n')
		if err != nil && !(errors.Is(err, io.EOF) && line != "") {
			return "", exit(exitUsage, errors.New("no password: write it to standard input, as one line"))
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	first, err := k.hidden(ctx, f, "Password: ")
	if err != nil {
		return "", err
	}
	again, err := k.hidden(ctx, f, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("that was not the same password twice; nothing was changed")
	}
	return first, nil
}

// hidden reads a line without showing it. Who leaves in between gets a terminal
// back that shows what is typed.
func (k *kept) hidden(ctx context.Context, f *os.File, prompt string) (string, error) {
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", err
	}
	fmt.Fprint(k.screen.err, prompt)
	defer fmt.Fprintln(k.screen.err)
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1) // the one that may come too late
	go func() {                     // ends with the process if nobody answers: a read of a terminal cannot be given up
		line, err := term.ReadPassword(int(f.Fd()))
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return "", fmt.Errorf("read the password: %w", a.err)
		}
		return string(a.line), nil
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(int(f.Fd()), before))
	}
}

// when is a time for people; what stands for none otherwise.
func when(t time.Time, otherwise string) string {
	if t.IsZero() {
		return otherwise
	}
	return t.Local().Format("2006-01-02 15:04")
}

// stamp is a time for machines; nil for none.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}
