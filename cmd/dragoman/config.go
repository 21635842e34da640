package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// defaultFile is the configuration that is used when it is there and none is named.
const defaultFile = "dragoman.yaml"

// builtinConfig is what runs without any configuration: something that answers,
// and harms nobody.
const builtinConfig = "servers:\n  time: {builtin: time}\n"

// source says where a configuration comes from.
type source struct {
	file   string
	listen string
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "config", "c", "", "configuration file; a client's mcpServers JSON will do (default "+defaultFile+" if it is there)")
}

// path is the file that is read; empty for the built-in defaults.
func (s *source) path() string {
	if s.file != "" {
		return s.file
	}
	if _, err := os.Stat(defaultFile); err == nil {
		return defaultFile
	}
	return ""
}

// load returns the configuration and what it was read from.
func (s *source) load() (*config.Config, string, error) {
	name := s.file
	if name == "" {
		if _, err := os.Stat(defaultFile); err == nil {
			name = defaultFile
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
	}
	cfg, err := s.read(name)
	if err != nil {
		return nil, name, exit(exitConfig, err)
	}
	if s.listen != "" {
		cfg.Listen = s.listen
		cfg.Origins["listen"] = "flag --listen"
	}
	if name == "" {
		name = "built-in defaults"
	}
	return cfg, name, nil
}

func (s *source) read(name string) (*config.Config, error) {
	if name == "" {
		return config.Parse("built-in defaults", []byte(builtinConfig), os.LookupEnv)
	}
	return config.Load(name, os.LookupEnv)
}

// proxy is the HTTP proxy of the environment.
func proxy(r *http.Request) (*url.URL, error) { return http.ProxyFromEnvironment(r) }

func usageError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w\nRun '%s --help' for usage", err, cmd.CommandPath())
}
