package parcel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of a directory that is gone through.
const (
	maxEntries = 500_000
	maxMasked  = 8 << 20 // bytes of a file in which the name of its directory is looked for
)

// leaf is one file or link below a directory.
type leaf struct {
	path string // below it, with slashes
	sum  string // of its kind, whether it may be run, and what is in it
}

// leaves goes through a directory, in the order of paths, and leaves out what skip says. sum gives the digest of what is
// in a file, or of what else of it counts.
func leaves(ctx context.Context, dir string, skip func(path string) bool, sum func(file, path string, info fs.FileInfo) (string, error)) ([]leaf, error) {
	var out []leaf
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		below, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		below = filepath.ToSlash(below)
		switch {
		case skip(below) && d.IsDir():
			return filepath.SkipDir
		case skip(below), d.IsDir():
			return nil
		case len(out) >= maxEntries:
			return fmt.Errorf("package has more than %d files", maxEntries)
		}
		one, err := leafOf(file, below, d, sum)
		out = append(out, one)
		return err
	})
	slices.SortFunc(out, func(a, b leaf) int { return strings.Compare(a.path, b.path) })
	return out, err
}

func leafOf(file, below string, d fs.DirEntry, sum func(file, path string, info fs.FileInfo) (string, error)) (leaf, error) {
	info, err := d.Info()
	if err != nil {
		return leaf{}, err
	}
	var kind, text string
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		kind = "link"
		text, err = os.Readlink(file)
	case !info.Mode().IsRegular():
		return leaf{}, fmt.Errorf("package has %s, which is neither a file nor a directory nor a link", below)
	default:
		if kind = "file"; info.Mode()&0o111 != 0 {
			kind = "program"
		}
		text, err = sum(file, below, info)
	}
	if err != nil {
		return leaf{}, err
	}
	all := sha256.Sum256([]byte(kind + "\x00" + text))
	return leaf{path: below, sum: hex.EncodeToString(all[:])}, nil
}

// digestOf is one digest of all leaves.
func digestOf(all []leaf) string {
	hash := sha256.New()
	for _, l := range all {
		fmt.Fprintf(hash, "%d:%s%s", len(l.path), l.path, l.sum)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// contentOf is the digest of the bytes of a file.
func contentOf(file, _ string, _ fs.FileInfo) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return hex.EncodeToString(hash.Sum(nil)), err
}

// canonicalContent is the digest of the bytes of a file as they would be in another directory: clients of registries write
// where a package is into some files.
func canonicalContent(dir string) func(file, path string, info fs.FileInfo) (string, error) {
	whole, base := []byte(dir), []byte(filepath.Base(dir))
	return func(file, below string, info fs.FileInfo) (string, error) {
		if info.Size() > maxMasked {
			return contentOf(file, below, info)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if bytes.Contains(text, base) {
			text = bytes.ReplaceAll(bytes.ReplaceAll(text, whole, []byte("\x00dir")), base, []byte("\x00name"))
		}
		sum := sha256.Sum256(withoutClients(below, text))
		return hex.EncodeToString(sum[:]), nil
	}
}

// withoutClients leaves out of two files what a client of Python's indexes writes there and no package does: its own
// version, and the digests of what it has made outside of the packages itself, which counts by what is in it.
func withoutClients(below string, text []byte) []byte {
	var prefix string
	switch {
	case path.Base(below) == "RECORD" && strings.HasSuffix(path.Dir(below), ".dist-info"):
		prefix = "../"
	case below == "venv/pyvenv.cfg":
		prefix = "uv ="
	default:
		return text
	}
	var out []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte(prefix)) {
			out = append(out, line...)
		}
	}
	return out
}

// Seal is the digest of all that is in the directory of a package as it is, less what skip says, which gets paths below it.
func Seal(ctx context.Context, dir string, skip func(path string) bool) (string, error) {
	all, err := leaves(ctx, dir, skip, contentOf)
	if err != nil {
		return "", fmt.Errorf("read what is in the package: %w", err)
	}
	return digestOf(all), nil
}

// Stamp is a digest of what the system says of the files of a directory: sizes, times, identities. As long as it is the
// same, so is Seal, where the system notes each change with a time that programs cannot set (on Linux). It is empty
// elsewhere, or when there is something that cannot be told.
func Stamp(ctx context.Context, dir string, skip func(path string) bool) string {
	all, err := leaves(ctx, dir, skip, func(_, _ string, info fs.FileInfo) (string, error) {
		if s := stampOf(info); s != "" {
			return s, nil
		}
		return "", errors.ErrUnsupported
	})
	if err != nil {
		return ""
	}
	return digestOf(all)
}
