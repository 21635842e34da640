package strict

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxReferenced is the most bytes of a file that ${file:…} names.
const maxReferenced = 1 << 20

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// problem is why a value cannot be had, and what to do about it.
type problem struct {
	what, remedy string
	unresolved   bool
}

// expand replaces the references in a text: ${NAME}, ${NAME:-default}, ${env:NAME} and ${file:path}. $$ is a literal $;
// a $ before anything else is itself.
func (o Options) expand(text string) (string, []problem) {
	var out strings.Builder
	var problems []problem
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			out.WriteString(text)
			return out.String(), problems
		}
		out.WriteString(text[:i])
		text = text[i:]
		switch text[1] {
		case '$':
			out.WriteByte('$')
			text = text[2:]
		case '{':
			end := strings.IndexByte(text, '}')
			if end < 0 {
				return out.String(), append(problems, problem{what: "a reference that begins with ${ has no closing brace",
					remedy: "close it, or write $${ for a literal ${"})
			}
			value, p := o.reference(text[2:end])
			if p != nil {
				problems = append(problems, *p)
			}
			out.WriteString(value)
			text = text[end+1:]
		default:
			out.WriteByte('$')
			text = text[1:]
		}
	}
}

// reference resolves what stands between the braces.
func (o Options) reference(ref string) (string, *problem) {
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		return o.fileReference(path)
	}
	name, fallback, hasFallback := strings.Cut(strings.TrimPrefix(ref, "env:"), ":-")
	if !variableName.MatchString(name) {
		return "", &problem{what: fmt.Sprintf("${%s} is not a reference", ref),
			remedy: "write ${NAME}, ${NAME:-default}, ${env:NAME} or ${file:path}; a literal ${ is $${"}
	}
	value, ok := o.lookup(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !ok:
		return "", &problem{what: fmt.Sprintf("the environment variable %s is not set", name),
			remedy: fmt.Sprintf("set it, or give a default with ${%s:-default}", name), unresolved: true}
	}
	return value, nil
}

func (o Options) lookup(name string) (string, bool) {
	if o.Env == nil {
		return "", false
	}
	return o.Env(name)
}

// fileReference reads a file without its last line end.
func (o Options) fileReference(path string) (string, *problem) {
	if path == "" {
		return "", &problem{what: "${file:} names no file", remedy: "write ${file:path}"}
	}
	data, err := ReadFile(o.Resolve(path), maxReferenced)
	if err != nil {
		return "", &problem{what: fmt.Sprintf("${file:%s}: %v", path, err), remedy: "check the path and who may read it",
			unresolved: true}
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// Resolve makes a path of the document usable from anywhere: ~ is the home directory, and what is relative begins at Dir.
func (o Options) Resolve(path string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		if home := o.home(); home != "" {
			return filepath.Join(home, rest)
		}
	}
	if path == "" || o.Dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(o.Dir, path)
}

func (o Options) home() string {
	if home, ok := o.lookup("HOME"); ok {
		return home
	}
	home, _ := o.lookup("USERPROFILE")
	return home
}

// ReadFile reads a regular file of at most limit bytes. A pipe or a device is refused, since reading it may not end. The
// error does not repeat the path.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("has %d bytes; the most that is read is %d", info.Size(), limit)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, reason(err)
	}
	return data, nil
}

func reason(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no such file%w", silent{err})
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("may not be read%w", silent{err})
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// silent keeps an error in the chain for errors.Is without showing its text.
type silent struct{ error }

func (s silent) Error() string { return "" }
func (s silent) Unwrap() error { return s.error }
