package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// defaultFile is the configuration that is used when it is there and none is named.
const defaultFile = "dragoman.yaml"

// builtinConfig is what runs without any configuration: something that answers,
// and harms nobody.
const builtinConfig = "servers:\n  time: {builtin: time}\n  database: {builtin: database}\n"

// personalConfig is what a command has besides when it calls for whoever typed
// it: the files of the working directory, and the web. Nobody else gets at them.
const personalConfig = builtinConfig + "  filesystem: {builtin: filesystem}\n  web: {builtin: web}\n"

// builtinName stands in messages where the name of a file would.
const builtinName = "the built-in configuration"

// maxFile bounds a configuration, in bytes.
const maxFile = 8 << 20

// source says where a configuration comes from.
type source struct {
	file     string
	listen   string // of --listen; wins over everything
	personal bool   // the command calls for whoever typed it, and serves nobody
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "config", "c", "", "configuration `FILE`, or - for standard input; a client's mcpServers JSON will do (default "+defaultFile+" if it is there)")
}

// path is the file that is read; empty when there is none.
func (s *source) path() string {
	if s.file != "" && s.file != "-" {
		return s.file
	}
	if _, err := os.Stat(defaultFile); err == nil && s.file == "" {
		return defaultFile
	}
	return ""
}

// load returns the configuration and what it was read from.
func (s *source) load() (*config.Config, string, error) { return s.loadBy(config.Parse) }

// parser is config.Parse, or config.Draft for who wants what it gives beside the faults.
type parser func(name string, data []byte, env func(string) (string, bool)) (*config.Config, error)

func (s *source) loadBy(parse parser) (*config.Config, string, error) {
	name := s.file
	if name == "" {
		if _, err := os.Stat(defaultFile); err == nil {
			name = defaultFile
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", exit(exitConfig, err)
		}
	}
	cfg, err := s.read(name, parse)
	switch name {
	case "":
		name = builtinName
	case "-":
		name = "standard input"
	}
	if err != nil {
		return cfg, name, exit(exitConfig, s.explain(err, name))
	}
	if s.listen != "" {
		cfg.Origins["listen"] = flagListen
	}
	return cfg, name, nil
}

func (s *source) read(name string, parse parser) (*config.Config, error) {
	switch name {
	case "":
		text := builtinConfig
		if s.personal {
			text = personalConfig
		}
		return parse(builtinName, []byte(text), s.env)
	case "-":
		text, err := io.ReadAll(io.LimitReader(os.Stdin, maxFile))
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		return parse("-", text, s.env)
	}
	text, err := strict.ReadFile(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", name, err)
	}
	return parse(name, text, s.env)
}

const (
	envListen  = "DRAGOMAN_LISTEN"
	flagListen = "flag --listen"
)

// env is the environment, in which the flag stands for the variable: so there is
// one place where an address to listen on is judged.
func (s *source) env(name string) (string, bool) {
	if name == envListen && s.listen != "" {
		return s.listen, true
	}
	return os.LookupEnv(name)
}

// explain names the flag where the variable stood for it, and says what to do
// about a file that is not there.
func (s *source) explain(err error, name string) error {
	var faults strict.Faults
	switch {
	case errors.As(err, &faults) && s.listen != "":
		for i := range faults {
			if faults[i].Place.File == "environment "+envListen {
				faults[i].Place.File = flagListen
			}
		}
		return faults
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file %s: check the path, or make one with dragoman import", name)
	}
	return err
}

// proxy is the HTTP proxy of the environment.
func proxy(r *http.Request) (*url.URL, error) { return http.ProxyFromEnvironment(r) }
