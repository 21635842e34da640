package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// call is one call of a tool from the command line.
type call struct {
	reach
	object   string   // --args-json
	form     string   // -o
	save     string   // --save
	roots    []string // --root
	env      []string // --env
	logLevel string
	noInput  bool
}

const callLong = `Call a tool and print what it answers.

Plain values become what the tool's schema says: in a=2 the 2 is a number if the
tool wants a number. What a tool returns goes to standard output, everything
else to standard error. When the tool asks for something and standard input is a
terminal, you are asked. The next_cursor of a built-in server is good in your
next call: its key is kept beside the state, for you alone.`

const callExamples = `  # a built-in server, without any configuration
  dragoman call time.now tz=Europe/Amsterdam

  # a server of dragoman.yaml, and a list as an argument
  dragoman call github.list_issues owner=o labels:='["bug"]'

  # any server that is a program
  dragoman call -- npx -y @modelcontextprotocol/server-everything \
    :: get-sum a=2 b=40

  # a running gateway, or any MCP server with a URL
  dragoman call --url http://127.0.0.1:8000/mcp time__now

  # all arguments from standard input
  echo '{"tz": "Asia/Tokyo"}' | dragoman call time.now -`

func newCall() *cobra.Command {
	c := &call{reach: reach{source: source{personal: true}}}
	cmd := &cobra.Command{
		Use:     "call SERVER.TOOL [NAME=VALUE | NAME:=JSON | @FILE | -]...",
		Short:   "Call a tool",
		Long:    callLong,
		Example: callExamples,
		GroupID: groupUse,
		RunE:    c.run,
	}
	cmd.ValidArgsFunction = c.complete
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.object, "args-json", "", "all arguments as one `JSON` object")
	f.StringVarP(&c.form, "output", "o", formText, "`FORM`: text, json (the whole result) or raw (its bytes as they came)")
	f.StringVar(&c.save, "save", "", "save images, audio and resources in this `DIR`")
	f.StringArrayVar(&c.roots, "root", nil, "directory `DIR` that the server is told of when it asks for roots; can be repeated")
	f.StringArrayVarP(&c.env, "env", "e", nil, "`NAME=VALUE` or NAME for the environment of a command after --; can be repeated")
	f.StringVar(&c.logLevel, "log-level", "", "show the server's own log messages from this `LEVEL` on, like info")
	f.BoolVar(&c.noInput, "no-input", false, "never ask, even at a terminal")
	return cmd
}

// aim is what is called, before anybody was asked.
type aim struct {
	cfg    *config.Config
	server string   // in cfg
	names  []string // the tool's own name, the likeliest first; empty for none given
	words  []string // arguments
	whole  string   // what was typed, for messages
}

func (c *call) run(cmd *cobra.Command, words []string) error {
	if err := oneOf("-o", c.form, formText, formJSON, formRaw); err != nil {
		return err
	}
	a, err := c.aim(cmd, words)
	if err != nil {
		return err
	}
	args, err := readArguments(a.words, c.object, cmd.InOrStdin())
	if err != nil {
		return exit(exitUsage, err)
	}
	roots, err := absolute(c.roots)
	if err != nil {
		return exit(exitUsage, err)
	}
	s := newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr())
	var in io.Reader
	if !c.noInput && !args.stdin && isTerminal(cmd.InOrStdin()) {
		in = cmd.InOrStdin()
	}
	asker := &asker{screen: s, in: in, roots: roots}
	l, err := c.open(cmd, a.cfg, a.server, asker.kinds())
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := c.within(cmd.Context())
	defer cancel()
	return c.make(ctx, errand{screen: s, aim: a, line: l, asker: asker, args: args})
}

func absolute(dirs []string) ([]string, error) {
	out := make([]string, len(dirs))
	for i, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("--root: %w", err)
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("--root: %s is no directory", dir)
		}
		if out[i], err = filepath.Abs(dir); err != nil {
			return nil, fmt.Errorf("--root: %w", err)
		}
	}
	return out, nil
}

// aim finds the server that the words name, in one of three ways.
func (c *call) aim(cmd *cobra.Command, words []string) (aim, error) {
	dash := cmd.ArgsLenAtDash()
	switch {
	case len(words) == 0:
		return aim{}, exit(exitUsage, usageError(cmd, errors.New("name a tool, like time.now")))
	case dash >= 0 && (c.url != "" || c.file != "" || dash > 0):
		return aim{}, exit(exitUsage, usageError(cmd, errors.New("before -- there are only flags, and neither --url nor --config")))
	case dash == 0:
		return c.adHoc(words)
	case len(c.env) > 0:
		return aim{}, exit(exitUsage, errors.New("--env is for a command after --; other servers have env in the configuration"))
	case c.url != "":
		cfg, err := c.remote()
		return aim{cfg: cfg, server: remoteName, names: remoteNames(words[0]), words: words[1:], whole: words[0]}, err
	}
	return c.configured(words)
}

// remoteNames are the names that a tool may have at a URL: as it was typed, or,
// at a gateway, with the separator of gateways in place of the dot.
func remoteNames(name string) []string {
	if server, own, ok := strings.Cut(name, "."); ok {
		return []string{name, server + "__" + own}
	}
	return []string{name}
}

// adHoc is a program on the command line: CMD ARGS… :: TOOL ARGUMENTS…
func (c *call) adHoc(words []string) (aim, error) {
	at := slices.Index(words, "::")
	if at < 1 {
		return aim{}, exit(exitUsage, errors.New("after -- comes a command, then ::, then a tool: dragoman call -- npx -y some-server :: some-tool a=1"))
	}
	command, words := words[:at], words[at+1:]
	argv := make([]string, len(command))
	for i, word := range command {
		argv[i] = literal(word)
	}
	env := make(map[string]string)
	for _, entry := range c.env {
		name, value, ok := strings.Cut(entry, "=")
		if !ok {
			value = os.Getenv(name)
		}
		env[name] = literal(value)
	}
	cfg, err := single(adHocName, map[string]any{"command": argv, "env": env})
	a := aim{cfg: cfg, server: adHocName, whole: filepath.Base(command[0])}
	if len(words) > 0 {
		a.names, a.words, a.whole = words[:1], words[1:], words[0]
	}
	return a, err
}

// configured is a server of the configuration: SERVER.TOOL, or the name that
// clients of the gateway see.
func (c *call) configured(words []string) (aim, error) {
	cfg, name, err := c.load()
	if err != nil {
		return aim{}, err
	}
	a := aim{cfg: cfg, words: words[1:], whole: words[0]}
	server, tool, ok := strings.Cut(words[0], ".")
	if _, known := cfg.Servers[server]; !ok || !known {
		if left, right, cut := strings.Cut(words[0], cfg.Names.Separator); cut {
			server, tool = left, right
		}
	}
	section, known := cfg.Servers[server]
	switch {
	case !known:
		return aim{}, unknownServer(server, name, cfg)
	case section.Disabled:
		return aim{}, disabledServer(server, name, cfg)
	}
	a.server = server
	if tool != "" {
		a.names = []string{tool}
	}
	return a, nil
}

func disabledServer(server, file string, cfg *config.Config) error {
	if missing := cfg.Missing(server); missing != "" {
		return exit(exitNotFound, fmt.Errorf("server %s is left out of %s: %s", server, file, missing))
	}
	return exit(exitNotFound, fmt.Errorf("server %s is disabled in %s", server, file))
}

func unknownServer(server, file string, cfg *config.Config) error {
	names := slices.Sorted(maps.Keys(cfg.Servers))
	text := fmt.Sprintf("there is no server %q in %s", server, file)
	if guess := strict.Suggest(server, names); guess != "" {
		text += fmt.Sprintf("; did you mean %s?", guess)
	} else if len(names) > 0 {
		text += "; there are: " + strings.Join(names, ", ")
	}
	return exit(exitNotFound, errors.New(text))
}

// errand is a call with all that it takes.
type errand struct {
	screen *screen
	aim    aim
	line   *line
	asker  *asker
	args   arguments
}

// make finds the tool, makes the call and shows the answer.
func (c *call) make(ctx context.Context, e errand) error {
	waiting := watch(e.screen, "starting "+e.aim.server)
	tool, err := e.find(ctx)
	waiting.stop()
	if err != nil {
		return e.failed(ctx, err)
	}
	text, remarks, err := e.args.fit(tool.schema)
	if err != nil {
		return exit(exitUsage, fmt.Errorf("%s:\n  %s", e.aim.whole, strings.ReplaceAll(err.Error(), "\n", "\n  ")))
	}
	for _, remark := range remarks {
		e.screen.say("warning: %s", remark)
	}
	began := time.Now()
	running := watch(e.screen, "waiting for "+e.aim.whole)
	e.asker.wait = running
	result, err := e.asker.complete(ctx, e.line, e.request(tool, text, c.logLevel, running))
	running.stop()
	if err != nil {
		return e.failed(ctx, err)
	}
	shown := answer{screen: e.screen, form: c.form}
	if c.save != "" {
		shown.save = &folder{path: c.save, stem: fileName(tool.name)}
	}
	if err := shown.show(result); err != nil {
		return err
	}
	e.screen.hint("%s answered in %s", e.aim.whole, brief(time.Since(began)))
	if isFailure(result) {
		return exit(exitTool, nil)
	}
	return nil
}

// brief is a duration for people.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "less than 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func (e errand) request(t found, arguments []byte, level string, p *progress) *mcp.Request {
	params := jsonrpc.Object{}.With(
		jsonrpc.Edit{Name: "name", Value: jsonrpc.AppendString(nil, t.name)},
		jsonrpc.Edit{Name: "arguments", Value: arguments})
	req := mcp.ReadRequest("tools/call", params, e.line.client)
	req.Notify = p.notify
	req.LogLevel = level
	if e.screen.animations {
		req.ProgressToken = []byte("1")
	}
	return req
}

// failed is why there is no answer.
func (e errand) failed(ctx context.Context, err error) error {
	var coded *exitError
	if errors.As(err, &coded) {
		return err
	}
	if why := interrupted(ctx, err); why != nil {
		return why
	}
	t := diagnose(e.line.cause(err), e.line.config)
	if len(t.lines) == 0 && t.code == exitUnreachable {
		t.lines = e.line.lastWords()
	}
	return t.failure(e.aim.whole)
}

// interrupted tells a command that was ended from outside from one that failed;
// nil when it failed. The server has been told by then that nobody waits.
func interrupted(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exit(exitUnreachable, context.Cause(ctx))
	case ctx.Err() != nil:
		return exit(exitInterrupted, errors.New("interrupted"))
	}
	return nil
}

// complete offers the servers of the configuration to the shell.
func (c *call) complete(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || c.url != "" {
		return nil, cobra.ShellCompDirectiveDefault
	}
	cfg, _, err := c.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(cfg.Servers)) {
		out = append(out, name+".")
	}
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}
