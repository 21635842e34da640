package filesystem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/index"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
)

func looking() server.Hints {
	return server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No}
}

func (f *files) reading(s *server.Server) {
	server.AddTool(s, server.Tool{Name: "list", Title: "List a directory", Output: json.RawMessage(`{"type":"object","properties":{"entries":{"type":"array","items":{"type":"object","properties":{"path":{"type":"string"},"kind":{"type":"string"},"size":{"type":"integer"},"modified":{"type":"string"},"etag":{"type":"string"}}}},"truncated":{"type":"boolean"},"next_cursor":{"type":"string"}}}`), Description: "Lists a directory, or describes a file with its etag.", Hints: looking()}, f.list)
	server.AddTool(s, server.Tool{
		Name: "read", Title: "Read a file", Hints: looking(),
		Output:      json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"},"size":{"type":"integer"},"offset":{"type":"integer"},"encoding":{"type":"string"},"etag":{"type":"string"},"truncated":{"type":"boolean"},"next_cursor":{"type":"string"}}}`),
		Description: "Reads text, images and audio; links to the rest.",
	}, f.read)
	server.AddTool(s, server.Tool{
		Name: "search", Title: "Search files", Hints: looking(), Output: json.RawMessage(`{"type":"object","properties":{"matches":{"type":"array","items":{"type":"object","properties":{"path":{"type":"string"},"line":{"type":"integer"},"text":{"type":"string"}}}},"skipped":{"type":"integer"},"truncated":{"type":"boolean"},"next_cursor":{"type":"string"}}}`),
		Description: "Finds files by name and lines by text.",
	}, f.search)
}

type listInput struct {
	Path   string `json:"path,omitempty" jsonschema:"the root when left out"`
	Cursor string `json:"cursor,omitempty"`
}

type listed struct {
	Entries []entry `json:"entries"`
	server.Page
}

func (f *files) list(ctx context.Context, c *server.Call, in listInput) (listed, error) {
	m, key, err := f.find(in.Path)
	if err != nil {
		return listed{}, err
	}
	out := listed{Entries: []entry{}}
	if m == nil {
		for _, m := range f.mounts {
			out.Entries = append(out.Entries, entry{Path: m.name, Kind: "dir"})
		}
		return out, nil
	}
	info, err := m.volume.Stat(ctx, key)
	if err := m.policy.check(key, err != nil || info.Dir, false); err != nil {
		return listed{}, err
	}
	if err != nil {
		return listed{}, told(err, in.Path)
	}
	if !info.Dir {
		one, err := m.stat(ctx, info)
		return listed{Entries: []entry{one}}, told(err, in.Path)
	}
	return m.list(ctx, c, key, in)
}

func (m *mount) list(ctx context.Context, c *server.Call, key string, in listInput) (listed, error) {
	out, after := listed{Entries: []entry{}}, ""
	if in.Cursor != "" {
		if err := c.Resume(in.Cursor, &after); err != nil {
			return listed{}, err
		}
	}
	c.Untrusted("names in /" + m.shown(key))
	for {
		const batch = 1000
		infos, err := m.volume.List(ctx, key, after, batch)
		if err != nil {
			return listed{}, told(err, in.Path)
		}
		for _, i := range infos {
			last := after
			after = i.Position()
			if !m.policy.sees(i.Key, i.Dir) {
				continue
			}
			e := m.entry(i)
			if !c.Budget.Row([]byte(e.Path + e.Kind + e.Modified + e.ETag + "path kind size modified 12345")) {
				out.Page = c.More(last)
				return out, nil
			}
			out.Entries = append(out.Entries, e)
		}
		if len(infos) < batch {
			return out, nil
		}
	}
}

// maxHashed is the largest file whose content is read for an etag alone, in bytes: about a second's work.
const maxHashed = 256 << 20

func (m *mount) stat(ctx context.Context, info volume.Info) (entry, error) {
	e := m.entry(info)
	if e.Kind != "file" || e.ETag != "" || info.Size > maxHashed {
		return e, nil
	}
	file, err := m.volume.Open(ctx, info.Key)
	if err != nil {
		return entry{}, err
	}
	defer func() { _ = file.Close() }()
	e.ETag, err = file.Tag(ctx)
	return e, err
}

type searchInput struct {
	Path    string `json:"path,omitempty"`
	Name    string `json:"name,omitempty" jsonschema:"glob"`
	Text    string `json:"text,omitempty"`
	Regexp  bool   `json:"regexp,omitempty" jsonschema:"text is RE2"`
	Case    bool   `json:"case,omitempty" jsonschema:"case-sensitive"`
	Context int    `json:"context,omitempty" min:"0" max:"20"`
	Ignored bool   `json:"ignored,omitempty" jsonschema:"also .gitignored"`
	Limit   int    `json:"limit,omitempty" min:"1" max:"1000" default:"100"`
	Cursor  string `json:"cursor,omitempty"`
}

type match struct {
	Path   string   `json:"path"`
	Line   int      `json:"line,omitempty"`
	Text   string   `json:"text,omitempty"`
	Before []string `json:"before,omitempty"`
	After  []string `json:"after,omitempty"`
}

type matches struct {
	Matches []match `json:"matches"`
	Skipped int     `json:"skipped,omitempty" jsonschema:"files too large to search"`
	// Why mounts were left out.
	Without []string `json:"without,omitempty"`
	server.Page
}

func (f *files) search(ctx context.Context, c *server.Call, in searchInput) (matches, error) {
	if in.Text == "" && in.Name == "" {
		return matches{}, server.Errorf("give name, text or both", "there is nothing to search for")
	}
	q := index.Query{Text: in.Text, Regexp: in.Regexp, Exact: in.Case, Context: in.Context, All: in.Ignored}
	if in.Name != "" {
		g, err := index.ParseGlob(in.Name)
		if err != nil {
			return matches{}, server.Errorf("write a glob like *.go or docs/**/*.md", "cannot read the pattern %.100q", in.Name)
		}
		q.Name = &g
	}
	if err := q.Check(); err != nil {
		return matches{}, server.Errorf("write an RE2 expression, or leave out regexp", "cannot read the expression: %w", err)
	}
	var at cursor
	if in.Cursor != "" {
		if err := c.Resume(in.Cursor, &at); err != nil {
			return matches{}, err
		}
	}
	c.Budget.Lower(server.Limits{Rows: max(in.Limit, 0)})
	return f.searchAll(ctx, c, in.Path, q, at)
}

// cursor says in which mount a search goes on, and where.
type cursor struct {
	Mount int            `json:"m"`
	At    index.Position `json:"a"`
}

func (f *files) searchAll(ctx context.Context, c *server.Call, path string, q index.Query, at cursor) (matches, error) {
	m, key, err := f.find(path)
	if err != nil {
		return matches{}, err
	}
	mounts := []*mount{m}
	if m == nil {
		mounts = f.mounts
	}
	out := matches{Matches: []match{}}
	c.Untrusted("files in /" + strings.TrimPrefix(path, "/"))
	for i := at.Mount; i < len(mounts); i++ {
		m := mounts[i]
		if m.policy.prefix != "" && key == "" {
			key = m.policy.prefix
		}
		if err := m.policy.check(key, true, false); err != nil {
			return matches{}, err
		}
		q.Dir, q.After, q.Permit = key, at.At, m.policy.sees
		if q.After.Key != "" && !volume.Within(q.After.Key, key) {
			return matches{}, server.Errorf("search again without the cursor", "the cursor is of another search")
		}
		done, err := m.index.Search(ctx, q, func(found index.Match) bool { return out.take(c, m, found) })
		if err != nil {
			err = told(err, m.shown(key))
			if !out.without(err, len(mounts)) {
				return matches{}, err
			}
		}
		out.Skipped += done.Skipped
		if done.More {
			if len(out.Matches) == 0 && done.Next == q.After {
				return matches{}, server.Errorf("ask for less context or a narrower path", "the first match is larger than the budget, or the search is too slow")
			}
			out.Page = c.More(cursor{i, done.Next})
			return out, nil
		}
		at, key = cursor{}, ""
	}
	return out, nil
}

// without goes on without a mount that cannot be reached, when there are others, and says so.
func (out *matches) without(err error, mounts int) bool {
	var known *server.Error
	if mounts == 1 || !errors.As(err, &known) {
		return false
	}
	for _, e := range []error{volume.ErrRefused, volume.ErrNoBucket, volume.ErrUnreachable, volume.ErrBusy, fs.ErrPermission} {
		if errors.Is(err, e) {
			out.Without = append(out.Without, known.Message)
			return true
		}
	}
	return false
}

func (out *matches) take(c *server.Call, m *mount, found index.Match) bool {
	one := match{Path: m.shown(found.Info.Key), Line: found.Line, Text: found.Text, Before: found.Before, After: found.After}
	if found.Info.Dir {
		one.Path += "/"
	}
	cost := fmt.Sprintf("path line text before after %s %d %s %s %s", one.Path, one.Line, one.Text, strings.Join(one.Before, "\n"), strings.Join(one.After, "\n"))
	if !c.Budget.Row([]byte(cost)) {
		return false
	}
	out.Matches = append(out.Matches, one)
	return true
}
