package filesystem

import (
	"path"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/index"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
)

// A policy says which keys of a mount may be used, for each key that a call names or comes across, whatever the call
// does with it. What it cannot judge it refuses.
type policy struct {
	write      bool
	prefix     string
	hidden     bool
	deny       []index.Glob
	extensions []string // with their dots, in lower case; empty for all
}

// secrets are what the mount that nobody configured does not show: keys, and our own configuration.
func secrets() []string {
	return []string{"*.pem", "*.key", "*.p12", "*.pfx", "*.kdbx", "*.tfstate", "id_rsa*", "id_ed25519*", "dragoman*.y*ml", "dragoman*.json", "dragoman*.toml"}
}

// sees says whether a key may be seen. Extensions are asked of files alone. What lies on the way to the prefix is not
// seen: names below a mount begin at its prefix.
func (p *policy) sees(key string, dir bool) bool {
	if key == "" {
		return true
	}
	if !volume.Within(key, p.prefix) {
		return false
	}
	if !dir && len(p.extensions) > 0 && !slices.Contains(p.extensions, strings.ToLower(path.Ext(key))) {
		return false
	}
	for at, rest := 0, key; ; {
		name, after, more := strings.Cut(rest, "/")
		at += len(name)
		if !p.hidden && strings.HasPrefix(name, ".") || p.denied(key[:at]) {
			return false
		}
		if !more {
			return true
		}
		at, rest = at+1, after
	}
}

// denied says whether a pattern matches a key, in whatever case and however its letters are composed: file systems and
// people differ about that.
func (p *policy) denied(key string) bool {
	if len(p.deny) == 0 {
		return false
	}
	alike := fold(key)
	return slices.ContainsFunc(p.deny, func(g index.Glob) bool { return g.Match(alike) || g.Match(key) })
}

// fold makes names alike that some file system takes for one: composed and decomposed letters, and all cases of a letter.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return unicode.ToLower(least)
	}, norm.NFC.String(s))
}

// link judges the key that a symbolic link leads to.
func (p *policy) link(key string, dir bool) error {
	if !p.sees(key, dir) {
		return volume.ErrOutside
	}
	return nil
}

// check refuses a key that may not be used. Whether it is there is not told.
func (p *policy) check(key string, dir, write bool) error {
	if !p.sees(key, dir) {
		return server.Errorf("call list to see what there is", "%q may not be used: it is hidden, denied or has an extension that is not allowed", key)
	}
	if write && !p.write {
		return server.Errorf("ask the operator to set write: true for this mount", "this mount is read-only")
	}
	return nil
}
