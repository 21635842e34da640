package pin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/plaintext"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Change is a definition that waits for a decision, beside what was approved.
type Change struct {
	Server, Kind, Name string
	State              string // pending, quarantined or rejected
	Hash               string
	Since              time.Time
	// Lines are the members that differ, by path. In a pending definition that is all of them.
	Lines []Line
	// Hidden says what it has that nobody sees, and models are not shown unless the server's text.definitions
	// is keep; empty when there is nothing.
	Hidden string
}

// Line is one member that differs; empty where it is not there.
type Line struct{ Path, Was, Now string }

// Changes returns what is not approved of a server, or of all with an empty
// name: pending and quarantined definitions, and rejected ones when asked for.
func (b *Book) Changes(ctx context.Context, server string, withRejected bool) ([]Change, error) {
	all, err := b.o.Store.List(ctx, server)
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	approvedNow := make(map[[3]string]store.Pin)
	for _, p := range all {
		if p.State == approved {
			approvedNow[[3]string{p.Server, p.Kind, p.Name}] = p
		}
	}
	var out []Change
	for _, p := range all {
		if p.State != pending && p.State != quarantined && (p.State != rejected || !withRejected) {
			continue
		}
		was := approvedNow[[3]string{p.Server, p.Kind, p.Name}]
		out = append(out, Change{
			Server: p.Server, Kind: p.Kind, Name: p.Name, State: p.State, Hash: p.Hash, Since: p.Created,
			Lines: linesOf(was, p), Hidden: hidden(p.Definition),
		})
	}
	return out, nil
}

func hidden(definition []byte) string {
	_, found := plaintext.JSON(definition, 0)
	return found.String()
}

// Approve makes what the named tools, prompts and templates of a server have
// become their approved definitions; without names all that waits, the
// server's instructions and start included. It returns what it approved.
func (b *Book) Approve(ctx context.Context, server string, names []string, by string) ([]string, error) {
	return b.decide(ctx, server, names, verdict{approved, by})
}

// Reject decides that they are never used as they are.
func (b *Book) Reject(ctx context.Context, server string, names []string, by string) ([]string, error) {
	return b.decide(ctx, server, names, verdict{rejected, by})
}

// verdict is a decision about what waits.
type verdict struct{ state, by string }

func (b *Book) decide(ctx context.Context, server string, names []string, v verdict) ([]string, error) {
	all, err := b.o.Store.List(ctx, server)
	if err != nil {
		return nil, fmt.Errorf("read definitions of server %s: %w", server, err)
	}
	found := make(map[string]bool)
	var changed []store.Pin
	var done []string
	for _, p := range all {
		waits := p.State == pending || p.State == quarantined || p.State == rejected && v.state == approved && len(names) > 0
		if p.Server != server || !waits || len(names) > 0 && !slices.Contains(names, label(p)) && !slices.Contains(names, p.Name) {
			continue
		}
		found[p.Name], found[label(p)] = true, true
		p.State, p.By, p.At = v.state, v.by, b.o.Now()
		changed, done = append(changed, p), append(done, label(p))
	}
	for _, n := range names {
		if !found[n] {
			return nil, fmt.Errorf("nothing of server %s waits for a decision under the name %q", server, n)
		}
	}
	if v.state == approved {
		changed = append(changed, replaced(all, changed, v, b.o.Now())...)
	}
	if len(changed) == 0 {
		return nil, nil
	}
	if err := b.o.Store.Put(ctx, changed...); err != nil {
		return nil, fmt.Errorf("write the decision: %w", err)
	}
	b.Forget(server)
	return done, nil
}

// label is what a definition is called: its kind, and its name if it has one of its own.
func label(p store.Pin) string {
	if p.Name == p.Kind {
		return p.Kind
	}
	return p.Kind + " " + p.Name
}

// replaced retires the definitions in whose place others were approved.
func replaced(all, chosen []store.Pin, v verdict, now time.Time) []store.Pin {
	var out []store.Pin
	for _, p := range all {
		if p.State != approved {
			continue
		}
		for _, c := range chosen {
			if c.Kind == p.Kind && c.Name == p.Name {
				p.State, p.By, p.At = retired, v.by, now
				out = append(out, p)
				break
			}
		}
	}
	return out
}

// Bounds of what is shown of a package.
const (
	shownPackages = 50
	shownFiles    = 20
)

// linesOf compares a definition with the approved one. Of a package that is what it is made of, and, of one that took
// another's place, which files differ, some of them by name.
func linesOf(was, now store.Pin) []Line {
	all := compare(was.Definition, now.Definition)
	if now.Kind != kindPackage {
		return all
	}
	var out, packages, files []Line
	for _, line := range all {
		if of, ok := strings.CutPrefix(line.Path, "packages."); ok {
			packages = append(packages, Line{"package " + of, line.Was, line.Now})
		} else if of, ok := strings.CutPrefix(line.Path, "tree."); ok {
			files = append(files, Line{"file " + of, line.Was, line.Now})
		} else {
			out = append(out, line)
		}
	}
	out = append(out, packages[:min(len(packages), shownPackages)]...)
	if more := len(packages) - shownPackages; more > 0 {
		out = append(out, Line{Path: "packages that are not shown", Now: strconv.Itoa(more)})
	}
	if len(was.Definition) == 0 || len(files) == 0 {
		return out // all of them are new
	}
	out = append(out, Line{Path: "files that differ", Now: strconv.Itoa(len(files))})
	return append(out, files[:min(len(files), shownFiles)]...)
}

// compare lists the members that differ, sorted by path.
func compare(was, now []byte) []Line {
	a, b := members(was), members(now)
	paths := slices.Collect(maps.Keys(a))
	for path := range b {
		if _, ok := a[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, func(x, y string) int { return cmp.Compare(x, y) })
	var out []Line
	for _, path := range paths {
		if a[path] != b[path] {
			out = append(out, Line{Path: path, Was: a[path], Now: b[path]})
		}
	}
	return out
}

// members flattens a definition: the text of each value by its path.
func members(definition []byte) map[string]string {
	out := make(map[string]string)
	if len(definition) == 0 {
		return out
	}
	d := json.NewDecoder(strings.NewReader(string(definition)))
	d.UseNumber()
	var v any
	if d.Decode(&v) == nil {
		flatten(out, "", v)
	}
	return out
}

// flatten writes texts quoted in ASCII, so that what is hidden in them shows,
// and nothing in them reaches a terminal.
func flatten(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			out[path] = "{}"
		}
		for name, inner := range v {
			flatten(out, strings.TrimPrefix(path+"."+printable(name), "."), inner)
		}
	case []any:
		if len(v) == 0 {
			out[path] = "[]"
		}
		for i, inner := range v {
			flatten(out, path+"["+strconv.Itoa(i)+"]", inner)
		}
	case string:
		out[path] = strconv.QuoteToASCII(v)
	default:
		out[path] = fmt.Sprint(v)
	}
}

// printable is a name as it is when it can be shown, else quoted.
func printable(s string) string {
	if q := strconv.QuoteToASCII(s); q != `"`+s+`"` {
		return q
	}
	return s
}
