package serve

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/dragoman-mcp/dragoman/server"
)

// Main is the main function of a server that runs alone. It reads the command
// line, serves until the client goes or the process is told to end, and exits.
//
//	--stdio            serve the client on standard input and output (the default)
//	--listen HOST:PORT serve over HTTP instead: /mcp, /health and /metrics
//	--settings FILE    settings, in YAML or JSON
//	--set KEY=VALUE    one setting; may be repeated; nested keys have dots
//	--data DIR         where the server may keep data
//	--token-file FILE  the token that callers over HTTP must bring
//	--log LEVEL        debug, info, warn or error; on standard error
func Main(make func(*server.Env) (*server.Server, error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := run(ctx, os.Args, make)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, make func(*server.Env) (*server.Server, error)) error {
	flags := flag.NewFlagSet(filepath.Base(args[0]), flag.ContinueOnError)
	_ = flags.Bool("stdio", true, "serve the client on standard input and output; the default")
	listen := flags.String("listen", "", "`HOST:PORT` to serve over HTTP on instead")
	var from Settings
	flags.StringVar(&from.File, "settings", "", "`FILE` of settings, YAML or JSON")
	flags.Func("set", "one setting as `KEY=VALUE`; may be repeated", func(s string) error {
		from.Set = append(from.Set, s)
		return nil
	})
	data := flags.String("data", "", "`DIR` where the server may keep data")
	tokenFile := flags.String("token-file", "", "`FILE` with the token that callers over HTTP must bring")
	var level slog.Level
	flags.TextVar(&level, "log", slog.LevelInfo, "least severe `LEVEL` to log: debug, info, warn or error")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is one word too many", flags.Arg(0))
	}
	o := Options{
		Env: server.Env{
			Version: moduleVersion(), DataDir: *data, LookupEnv: os.LookupEnv,
			Log: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
		},
		In: os.Stdin, Out: os.Stdout, Listen: *listen, Proxy: http.ProxyFromEnvironment,
		Ready: func(url string) { fmt.Fprintln(os.Stderr, "serving", url) },
	}
	if err := from.Read(&o.Env); err != nil {
		return err
	}
	var err error
	if o.Token, err = ReadToken(*tokenFile); err != nil {
		return err
	}
	return Run(ctx, o, make)
}

func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return ""
}

// Settings says where settings come from on a command line: a file, or a list of
// single ones.
type Settings struct {
	File string
	// Set are settings as KEY=VALUE. Dots in the key lead into sections; a value
	// that is JSON is taken as such, and anything else as text.
	Set []string
}

// maxSettings bounds a settings file, in bytes.
const maxSettings = 1 << 20

// Read fills what env has of settings.
func (s Settings) Read(env *server.Env) error {
	switch {
	case s.File != "" && len(s.Set) > 0:
		return errors.New("settings come from a file or from single values, not from both")
	case s.File != "":
		text, err := readFile(s.File, maxSettings)
		if err != nil {
			return fmt.Errorf("read settings: %w", err)
		}
		env.Settings, env.SettingsFile, env.Dir = text, s.File, filepath.Dir(s.File)
		return nil
	case len(s.Set) == 0:
		return nil
	}
	all := map[string]any{}
	for _, one := range s.Set {
		key, value, ok := strings.Cut(one, "=")
		if !ok || key == "" {
			return fmt.Errorf("setting %q has no value: write KEY=VALUE", key)
		}
		if err := place(all, strings.Split(key, "."), value); err != nil {
			return fmt.Errorf("setting %s: %w", key, err)
		}
	}
	text, err := json.Marshal(all)
	env.Settings = text
	return err
}

// place puts a value where its key leads.
func place(into map[string]any, path []string, value string) error {
	for _, name := range path[:len(path)-1] {
		next, ok := into[name].(map[string]any)
		if !ok && into[name] != nil {
			return fmt.Errorf("%s is a value already, and no section", name)
		}
		if !ok {
			next = map[string]any{}
			into[name] = next
		}
		into = next
	}
	last := path[len(path)-1]
	if into[last] != nil {
		return errors.New("it is set twice")
	}
	if json.Valid([]byte(value)) {
		into[last] = json.RawMessage(value)
		return nil
	}
	into[last] = value
	return nil
}

// minToken is the least number of characters that a token may have.
const minToken = 16

// ReadToken reads the token from a file; without a file there is none.
func ReadToken(file string) (server.Secret, error) {
	if file == "" {
		return "", nil
	}
	text, err := readFile(file, 4<<10)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return "", fmt.Errorf("the token in %s has fewer than %d characters: it could be guessed", file, minToken)
	}
	return server.Secret(token), nil
}

func readFile(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if int64(len(text)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return text, err
}
