package config

import (
	"path/filepath"
	"runtime"
)

// State says where the gateway keeps what it has to remember: users, keys, consents, approved tool definitions,
// credentials. What is secret is stored hashed or encrypted.
type State struct {
	// sqlite keeps a file on this machine; postgres is for replicas that share one database.
	Driver string `yaml:"driver" default:"sqlite" enum:"sqlite|postgres"`
	// File of the sqlite driver, made at the first start, readable by its owner only; not on a network file system. When
	// empty it is dragoman/state.db in the user's directory for state ($XDG_STATE_HOME, or ~/.local/state; Library/Application
	// Support on macOS, %LOCALAPPDATA% on Windows).
	Path string `yaml:"path" path:"true" aka:"file" example:"/var/lib/dragoman/state.db"`
	// Database of the postgres driver, as a URL or as key=value pairs. Best kept out of the file, since it may have a
	// password, as in ${file:/run/secrets/state}.
	DSN Secret `yaml:"dsn" aka:"url" example:"${STATE_DSN}"`
}

// stateFile is the file of the sqlite driver when none is named; empty if it is not known whose machine this is.
func stateFile(env func(string) (string, bool)) string {
	system := map[string][]string{"darwin": {"HOME", "Library", "Application Support"}, "windows": {"LOCALAPPDATA"}}[runtime.GOOS]
	for _, way := range [][]string{{"XDG_STATE_HOME"}, system, {"HOME", ".local", "state"}, {"USERPROFILE", ".local", "state"}} {
		if len(way) == 0 {
			continue
		}
		if root, _ := env(way[0]); filepath.IsAbs(root) {
			return filepath.Join(append(append([]string{root}, way[1:]...), "dragoman", "state.db")...)
		}
	}
	return ""
}

// state checks that the driver has what it needs, without showing the DSN.
func (c *checker) state() {
	switch s := c.State; {
	case s.Driver == "postgres" && s.DSN == "":
		c.hollow("state.driver", "is postgres, and no database is named", "set state.dsn, for example to ${file:/run/secrets/state}")
	case s.Driver == "sqlite" && s.DSN != "":
		c.hollow("state.dsn", "is set, and the driver is sqlite, which has no use for it", "set state.driver to postgres, or leave dsn out")
	case s.Driver == "postgres" && c.isSet("state.path"):
		c.hollow("state.path", "is set, and the driver is postgres, which has no use for it", "set state.driver to sqlite, or leave path out")
	}
}
