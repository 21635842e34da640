package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// Env is what a server is given by whoever runs it, the gateway or serve.Main.
// The zero value is good for tests.
type Env struct {
	// Name is what the server is called in the configuration; the server's own
	// name when empty.
	Name string
	// Version is that of the program; "dev" when empty.
	Version string
	// Log takes what the server logs; nothing is logged when nil.
	Log *slog.Logger
	// Settings is what the user has configured: one JSON object, or empty. Read
	// it with Decode.
	Settings json.RawMessage
	// SettingsFile is the file that Settings is the text of, JSON or YAML, for
	// messages; empty when it comes from elsewhere.
	SettingsFile string
	// Dir is where relative paths of Settings begin; the working directory when empty.
	Dir string
	// DataDir is a directory of which the server may use the one that is named
	// after it; see Data. Empty when there is none.
	DataDir string
	// LookupEnv looks up an environment variable that a reference like ${NAME}
	// in Settings names. Without it references have been resolved already, and
	// all text is taken as it is.
	LookupEnv func(string) (string, bool)
	// Proxy returns the HTTP proxy for a request; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Secret is what cursors are sealed with. When it is empty the key is random:
	// cursors do not outlive the process and are not known to other replicas.
	Secret []byte

	made []*Server // by New with this Env
}

// complete returns a copy with the defaults.
func (e *Env) complete(about About) Env {
	c := Env{
		Name: cmp.Or(e.Name, about.Name), Version: cmp.Or(e.Version, "dev"), Log: e.Log,
		Dir: e.Dir, DataDir: e.DataDir, Now: e.Now, Proxy: e.Proxy, Secret: e.Secret,
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("server", c.Name)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Decode reads Settings into a struct. Its fields have the tags of the gateway's
// configuration: yaml for the key, and default, min, max, enum, required, path,
// unit; see docs/custom-servers.md. All faults are reported at once, each with
// where it is and what to do: unknown keys, wrong types, values out of bounds,
// and what the struct's own Validate() error says, if it has one and the rest
// is right.
func (e *Env) Decode(into any) error {
	node, err := strict.Parse(e.SettingsFile, e.Settings)
	if err != nil {
		return err
	}
	faults := strict.Decode(node, into, strict.Options{
		File: e.SettingsFile, Dir: e.Dir, Env: e.LookupEnv, Verbatim: e.LookupEnv == nil,
	}).Faults
	if e.SettingsFile == "" {
		for i := range faults {
			// Lines of a text that nobody has seen lead nowhere.
			faults[i].Place = strict.Place{}
			faults[i].Path = strings.TrimSuffix("settings."+faults[i].Path, ".")
		}
	}
	if err := faults.Err(); err != nil {
		return err
	}
	if v, ok := into.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Data returns the directory that the server alone uses, and makes it.
func (e *Env) Data() (string, error) {
	if e.DataDir == "" {
		return "", errors.New("there is no data directory: whoever runs the server has configured none")
	}
	dir := filepath.Join(e.DataDir, e.Name)
	if e.Name == "" || e.Name != filepath.Base(dir) {
		return "", fmt.Errorf("the server's name %q is no name of a directory", e.Name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	return dir, nil
}

// Size is a number of bytes in settings: 4194304, 4MiB, 1.5G or 80 kB.
type Size = strict.Size

// Secret is a text in settings that must not be shown. Every way of printing it
// gives [redacted]; Reveal gives the text.
type Secret = strict.Secret
