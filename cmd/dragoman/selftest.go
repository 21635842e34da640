package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/selftest"
)

func newSelftest() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "selftest",
		Short:   "Attack a gateway with what others have published",
		GroupID: groupMore,
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSelftestSecurity())
	return cmd
}

const selftestLong = `Attack a gateway with collections of attacks that others have published, and
count what was refused, what was let through, and what is harmless and was
refused by mistake. The exit code is 0 only if nothing was let through.

Without --url and -c a gateway is started for it, in a directory of its own and
on a port of this machine, with the servers time, web, filesystem and database.
Only that one is tried with everything: elsewhere nothing is written, no servers
are called, and tokens are not guessed.

With --data DIR, collections that are too large to be carried along are tried
too: checkouts of wallarm/jwt-secrets and swisskyrepo/PayloadsAllTheThings in
DIR.`

// securityTest is "selftest security" as it was asked for.
type securityTest struct {
	reach
	data, form string
}

func newSelftestSecurity() *cobra.Command {
	s := &securityTest{}
	cmd := &cobra.Command{
		Use:   "security",
		Short: "Try published attacks on a gateway and count what becomes of them",
		Long:  selftestLong,
		Example: `  dragoman selftest security
  dragoman selftest security --url https://mcp.example.org
  dragoman selftest security -o json`,
		Args: nothingMore,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("-o", s.form, formText, formJSON); err != nil {
				return err
			}
			return s.run(cmd)
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&s.data, "data", "", "`DIR` with checkouts of larger collections")
	cmd.Flags().StringVarP(&s.form, "output", "o", formText, "`FORM`: text or json")
	return cmd
}

func (s *securityTest) run(cmd *cobra.Command) error {
	ctx, cancel := s.within(cmd.Context())
	defer cancel()
	if info, err := os.Stat(s.data); s.data != "" && (err != nil || !info.IsDir()) {
		return exit(exitUsage, fmt.Errorf("--data %s is no directory", s.data))
	}
	if s.url != "" && s.file != "" {
		return exit(exitUsage, errors.New("give one of --url and --config: a gateway that runs, or one that is started for this"))
	}
	target, stop, err := s.target(cmd, ctx)
	if err != nil {
		return err
	}
	out := newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr())
	waiting := watch(out, "attacking "+target.URL)
	all, err := selftest.Run(ctx, target, func(selftest.Result) {})
	waiting.stop()
	stop()
	if why := interrupted(cmd.Context(), nil); why != nil {
		return why
	}
	if err != nil {
		return exit(exitUnreachable, err)
	}
	if s.form == formJSON {
		err = printJSON(out, map[string]any{"target": target.URL, "good": through(all) == 0, "corpora": all})
	} else {
		tellResults(out, all)
	}
	if err == nil && through(all) > 0 {
		err = exit(exitFailure, nil)
	}
	return err
}

// target is the gateway at --url, or one that is started here; stop ends that.
func (s *securityTest) target(cmd *cobra.Command, ctx context.Context) (*selftest.Target, func(), error) {
	if s.url != "" {
		base, err := baseOf(s.url)
		if err != nil {
			return nil, nil, exit(exitUsage, err)
		}
		return &selftest.Target{URL: base, Token: s.bearer(), Data: s.data}, func() {}, nil
	}
	own, cfg, token, cleanup, err := s.furnished(ctx)
	if err != nil {
		return nil, nil, err
	}
	a, server, err := open(ctx, cfg, s.options(cmd))
	if err != nil {
		cleanup()
		return nil, nil, exit(exitConfig, err)
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Run(running) }) // what is wrong with it, its answers show
	stop := func() {
		end()
		wg.Wait()
		closing, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		_ = a.Close(closing)
		cleanup()
	}
	scheme := "http://"
	if cfg.TLS.Cert != "" {
		scheme = "https://"
	}
	return &selftest.Target{URL: scheme + reachable(server.Addr().String()), Token: token, Own: own, Data: s.data}, stop, nil
}

// furnished is the configuration of a gateway for this: that of -c on a port of
// this machine, or one of our own with everything that can be attacked.
func (s *securityTest) furnished(ctx context.Context) (own *selftest.Own, cfg *config.Config, token string, cleanup func(), err error) {
	if s.file != "" {
		cfg, _, err = s.load()
		if err != nil {
			return nil, nil, "", nil, err
		}
		cfg.Listen, cfg.Audit.Dir = "127.0.0.1:0", ""
		cfg.Processes.LogDir, cfg.Processes.PidDir = "", ""
		return nil, cfg, s.bearer(), func() {}, nil
	}
	dir, err := os.MkdirTemp("", "dragoman-selftest-")
	if err != nil {
		return nil, nil, "", nil, err
	}
	cleanup = func() { _ = os.RemoveAll(dir) }
	own, token, text, err := selftest.Furnish(ctx, dir)
	if err == nil {
		cfg, err = config.Parse("selftest", text, func(string) (string, bool) { return "", false })
	}
	if err != nil {
		cleanup()
		return nil, nil, "", nil, err
	}
	return own, cfg, token, cleanup, nil
}

// open starts a gateway and its listener.
func open(ctx context.Context, cfg *config.Config, o app.Options) (*app.App, *app.Server, error) {
	a, err := app.Open(cfg, o)
	if err != nil {
		return nil, nil, err
	}
	server, err := a.Listen(ctx)
	if err != nil {
		closing, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		return nil, nil, errors.Join(err, a.Close(closing))
	}
	return a, server, nil
}

func through(all []selftest.Result) int {
	n := 0
	for _, r := range all {
		n += r.Through
	}
	return n
}

func tellResults(s *screen, all []selftest.Result) {
	t := &table{head: []string{"CORPUS", "ATTACKS", "REFUSED", "LET THROUGH", "HARMLESS", "REFUSED BY MISTAKE", "SOURCE"}}
	sum := selftest.Result{}
	for _, r := range all {
		if r.Skipped != "" {
			t.add(r.Corpus, "-", "-", "-", "-", "-", r.Source+": "+r.Skipped)
			continue
		}
		sum.Attacks, sum.Refused, sum.Through = sum.Attacks+r.Attacks, sum.Refused+r.Refused, sum.Through+r.Through
		sum.Harmless, sum.Mistaken = sum.Harmless+r.Harmless, sum.Mistaken+r.Mistaken
		t.add(figures(r.Corpus, r.Source, r)...)
	}
	t.add(figures("all", "", sum)...)
	t.write(s.out, s)
	for _, r := range all {
		if len(r.Found) > 0 {
			fmt.Fprintf(s.out, "\n%s\n", r.Corpus)
		}
		for _, found := range r.Found {
			fmt.Fprintf(s.out, "  %s\n", harmless(strings.ReplaceAll(found, "\n", `\n`)))
		}
	}
}

func figures(corpus, source string, r selftest.Result) []string {
	row := []string{corpus}
	for _, n := range []int{r.Attacks, r.Refused, r.Through, r.Harmless, r.Mistaken} {
		row = append(row, strconv.Itoa(n))
	}
	return append(row, source)
}
