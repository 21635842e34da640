package pin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// maxProgram bounds how much of a file is read for its digest. Of a longer one
// the digest covers what comes first, and the length.
const maxProgram = 512 << 20

// launch is how a server comes to be what it is. Values of environment
// variables and headers are left out: they are secrets, and change.
type launch struct {
	Command []string          `json:"command,omitempty"`
	Cwd     string            `json:"cwd,omitempty"`
	Env     []string          `json:"env,omitempty"`
	Files   map[string]string `json:"files,omitempty"` // of the command, to digests
	URLs    []string          `json:"urls,omitempty"`
	Headers []string          `json:"headers,omitempty"`
	Pins    []string          `json:"tls_pins,omitempty"`
	Builtin string            `json:"builtin,omitempty"`
	// Settings is a digest: they may hold secrets.
	Settings string `json:"settings,omitempty"`
}

// launchOf describes how a server is started or reached. Of a command it has the
// digests of the program and of the files among its arguments; what a launcher
// such as npx loads from elsewhere it cannot see.
func launchOf(s config.Server) []byte {
	l := launch{Command: s.Argv(), Cwd: s.Cwd, Builtin: s.Builtin, Pins: slices.Sorted(slices.Values(s.TLSPins)),
		Env: slices.Sorted(maps.Keys(s.Env)), Headers: slices.Sorted(maps.Keys(s.Headers))}
	if len(s.Settings) > 0 {
		l.Settings = digest(s.Settings)
	}
	for _, r := range s.Replicas() {
		l.URLs = append(l.URLs, address(r.URL))
	}
	slices.Sort(l.URLs)
	for i, arg := range l.Command {
		path := arg
		if i == 0 {
			if found, err := exec.LookPath(arg); err == nil {
				path = found
			}
		}
		if !filepath.IsAbs(path) && s.Cwd != "" {
			path = filepath.Join(s.Cwd, path)
		}
		if sum, ok := fileDigest(path); ok {
			if l.Files == nil {
				l.Files = make(map[string]string)
			}
			l.Files[arg] = sum
		}
	}
	text, err := json.Marshal(l)
	if err != nil {
		panic("pin: launch does not marshal: " + err.Error()) // strings only
	}
	return text
}

// address is a URL without what may be secret in it, but with its digest.
func address(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "sha256:" + digest([]byte(text))
	}
	if u.User == nil && u.RawQuery == "" {
		return text
	}
	return fmt.Sprintf("%s://%s%s (sha256:%s)", u.Scheme, u.Host, u.Path, digest([]byte(text)))
}

func fileDigest(path string) (string, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	hash := sha256.New()
	fmt.Fprintf(hash, "%d:", info.Size())
	if _, err := io.Copy(hash, io.LimitReader(f, maxProgram)); err != nil {
		return "", false
	}
	return hex.EncodeToString(hash.Sum(nil)), true
}
