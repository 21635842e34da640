package parcel

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// Bounds of what Contents tell; the digest covers what is beyond them too.
const (
	maxPackages = 2000
	maxTree     = 256 << 10 // bytes of Tree
	maxVersion  = 128       // bytes of a version, and of a name
)

// Contents say what the packages are that a program is started from, so that others can be told from them.
type Contents struct {
	// Package is what was asked for.
	Package string `json:"package"`
	// Digest is that of all files: their paths, whether they may be run, and what is in them; the same wherever and
	// whenever the same is fetched. It is empty when the package is not known before it runs.
	Digest string `json:"digest,omitempty"`
	// NotPinned says why there is no Digest.
	NotPinned string `json:"not_pinned,omitempty"`
	// Files is how many there are.
	Files int `json:"files,omitempty"`
	// Packages are the versions of all packages, by their names as the directory has them.
	Packages map[string]string `json:"packages,omitempty"`
	// Tree has the first digits of the digest of each file by its path. Where those are too many it has directories.
	Tree map[string]string `json:"tree,omitempty"`
}

// own are files that the client writes beside the packages, and the gateway. No package has a say in them.
func own(below string) bool {
	switch below {
	case "package.json", "package-lock.json", "bun.lock", "bun.lockb", runtimeDir:
		return true
	}
	return false
}

// Contents reads a directory into which the parcel was fetched, before Finish: what is compiled is not the same each time.
// skip says what else is not part of it. It takes as long as reading all files takes, or until ctx ends.
func (p *Parcel) Contents(ctx context.Context, dir string, skip func(path string) bool) (*Contents, error) {
	all, err := leaves(ctx, dir, func(below string) bool { return own(below) || skip(below) }, canonicalContent(dir))
	if err != nil {
		return nil, fmt.Errorf("read what was fetched: %w", err)
	}
	return &Contents{Package: p.String(), Digest: digestOf(all), Files: len(all), Packages: packages(dir, all), Tree: tree(all)}, nil
}

// packages are the versions of the packages that there are.
func packages(dir string, all []leaf) map[string]string {
	out := make(map[string]string)
	for _, l := range all {
		name, version := npmPackage(dir, l.path)
		if name == "" {
			name, version = pythonPackage(l.path)
		}
		if name != "" && len(out) < maxPackages {
			out[name[:min(len(name), 2*maxVersion)]] = version[:min(len(version), maxVersion)]
		}
	}
	return out
}

// npmPackage is the package whose package.json a path is; without a name for any other.
func npmPackage(dir, below string) (name, version string) {
	const modules = "node_modules/"
	at := strings.LastIndex(below, modules)
	name, ok := strings.CutSuffix(below[max(at, 0):], "/package.json")
	if at < 0 || !ok {
		return "", ""
	}
	name = name[len(modules):]
	if deep := strings.Count(name, "/"); deep > 1 || deep == 1 && name[0] != '@' {
		return "", "" // of a directory within a package
	}
	var manifest struct {
		Version string `json:"version"`
	}
	if readJSON(filepath.Join(dir, filepath.FromSlash(below)), &manifest) != nil {
		manifest.Version = "?"
	}
	return strings.TrimPrefix(below[:at]+modules, modules) + name, manifest.Version
}

// pythonPackage is the package whose description a path is.
func pythonPackage(below string) (name, version string) {
	info, ok := strings.CutSuffix(below, ".dist-info/METADATA")
	if !ok {
		return "", ""
	}
	name, version, _ = strings.Cut(path.Base(info), "-")
	return name, version
}

// tree tells files, or directories when there are too many of those.
func tree(all []leaf) map[string]string {
	const digits = 12
	for _, depth := range []int{1 << 20, 10, 8, 7, 6, 5, 4, 3, 2, 1} {
		parts, size := make(map[string][]leaf), 0
		for _, l := range all {
			at := upTo(l.path, depth)
			if parts[at] == nil {
				size += len(at) + digits + len(`"":"",`)
			}
			parts[at] = append(parts[at], l)
		}
		if size > maxTree {
			continue
		}
		out := make(map[string]string, len(parts))
		for at, part := range parts {
			out[at] = digestOf(part)[:digits]
		}
		return out
	}
	return nil
}

// upTo is the beginning of a path with so many elements.
func upTo(below string, elements int) string {
	for i := range len(below) {
		if below[i] == '/' {
			if elements--; elements == 0 {
				return below[:i]
			}
		}
	}
	return below
}

// JSON is the text of c.
func (c *Contents) JSON() ([]byte, error) { return json.Marshal(c) }
