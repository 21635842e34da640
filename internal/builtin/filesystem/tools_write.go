package filesystem

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/text"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
)

func changing() server.Hints {
	return server.Hints{ReadOnly: server.No, Destructive: server.Yes, Idempotent: server.No, OpenWorld: server.No}
}

func (f *files) writing(s *server.Server) {
	server.AddTool(s, server.Tool{Name: "write", Title: "Write a file", Description: "Makes a file, or replaces its content.", Hints: changing()}, f.write)
	server.AddTool(s, server.Tool{Name: "edit", Title: "Edit a file", Description: "Replaces texts in a file; all other bytes stay.", Hints: changing()}, f.edit)
	server.AddTool(s, server.Tool{Name: "change", Title: "Copy, move, delete, mkdir", Description: "Copies a file, moves or deletes a file or directory, or makes a directory.", Hints: changing()}, f.change)
}

type writeInput struct {
	Path     string `json:"path"`
	Text     string `json:"text"`
	Encoding string `json:"encoding,omitempty" jsonschema:"or base64; default utf-8"`
	IfMatch  string `json:"if_match,omitempty" jsonschema:"expected etag"`
	Create   bool   `json:"create,omitempty" jsonschema:"only if absent"`
}

// done is what tools that change something tell.
type done struct {
	Path string `json:"path"`
	ETag string `json:"etag,omitempty"`
	Diff string `json:"diff,omitempty"`
}

func (f *files) write(ctx context.Context, c *server.Call, in writeInput) (done, error) {
	m, key, err := f.file(in.Path, false, true)
	if err != nil {
		return done{}, err
	}
	data := []byte(in.Text)
	switch {
	case in.Encoding == "base64":
		data, err = base64.StdEncoding.DecodeString(in.Text)
	case in.Encoding != "":
		var form text.Form
		if form, err = text.Named(in.Encoding, nil); err == nil {
			data, err = form.Encode(in.Text)
		}
	}
	if err != nil {
		return done{}, server.Errorf("use base64 for bytes, or a name such as utf-8 or utf-16le", "cannot encode the text: %w", err)
	}
	d, err := f.put(ctx, m, key, data, volume.Condition{Match: in.IfMatch, Absent: in.Create})
	if errors.Is(err, fs.ErrExist) {
		err = server.Errorf("leave out create to replace it, or choose another path", "%.200q is there already", in.Path)
	}
	return d, err
}

func (f *files) put(ctx context.Context, m *mount, key string, data []byte, when volume.Condition) (done, error) {
	if int64(len(data)) > m.max {
		return done{}, server.Errorf("write less", "the file would have %d bytes; files of this mount may have %d", len(data), m.max)
	}
	info, err := m.volume.Put(ctx, key, bytes.NewReader(data), int64(len(data)), when)
	return m.made(info, err, key)
}

// made tells of a file that was written.
func (m *mount) made(info volume.Info, err error, key string) (done, error) {
	if err != nil {
		return done{}, told(err, m.shown(key))
	}
	return done{Path: m.shown(key), ETag: info.Tag}, nil
}

// done tells of a file or directory that has another name now.
func (m *mount) done(ctx context.Context, info volume.Info, key string) (done, error) {
	if info.Tag != "" || info.Dir {
		return m.made(info, nil, key)
	}
	file, err := m.volume.Open(ctx, key)
	if err != nil {
		return m.made(info, nil, key) // gone again: what was asked is done
	}
	defer func() { _ = file.Close() }()
	if file.Info().Size <= maxHashed {
		info.Tag, err = file.Tag(ctx)
	}
	return m.made(info, err, key)
}

type editInput struct {
	Path    string   `json:"path"`
	Edits   []change `json:"edits"`
	DryRun  bool     `json:"dry_run,omitempty" jsonschema:"only diff"`
	IfMatch string   `json:"if_match,omitempty"`
	Enc     string   `json:"encoding,omitempty"`
}

type change struct {
	Old string `json:"old" jsonschema:"must be there once"`
	New string `json:"new"`
	All bool   `json:"all,omitempty" jsonschema:"replace every one"`
}

func (f *files) edit(ctx context.Context, c *server.Call, in editInput) (done, error) {
	m, key, err := f.file(in.Path, false, true)
	if err != nil {
		return done{}, err
	}
	if len(in.Edits) == 0 {
		return done{}, server.Errorf(`give edits, as in [{"old": "text", "new": "other text"}]`, "there is nothing to edit")
	}
	data, tag, err := m.whole(ctx, key, in.IfMatch)
	if err != nil {
		return done{}, told(err, in.Path)
	}
	sample := data[:min(len(data), text.Sample)]
	form, err := text.Detect(sample, len(sample) == len(data))
	if in.Enc != "" {
		form, err = text.Named(in.Enc, sample)
	}
	if err != nil {
		return done{}, server.Errorf("give encoding if it is text after all", "cannot edit %.200q: %w", in.Path, err)
	}
	var changes []text.Change
	for _, e := range in.Edits {
		changes = append(changes, text.Change(e))
	}
	after, spans, err := text.Edit(data, form, changes)
	if err != nil {
		next := "read the file and give old exactly as it is there"
		if errors.Is(err, text.ErrAmbiguous) {
			next = "give more of the text around it, or set all"
		}
		return done{}, server.Errorf(next, "nothing was changed: %w", err)
	}
	d := done{Path: m.shown(key), ETag: tag}
	if !in.DryRun {
		if d, err = f.put(ctx, m, key, after, volume.Condition{Match: tag}); err != nil {
			return done{}, err
		}
	}
	d.Diff, _ = c.Budget.Text(diff(spans))
	return d, nil
}

// whole reads a file that may be edited, if its tag is match or that is empty.
func (m *mount) whole(ctx context.Context, key, match string) ([]byte, string, error) {
	file, err := m.volume.Open(ctx, key)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = file.Close() }()
	if file.Info().Size > m.max {
		return nil, "", volume.ErrTooLarge
	}
	tag, err := file.Tag(ctx)
	if err != nil {
		return nil, "", err
	}
	data, err := part(ctx, file, 0, m.max+1)
	if err == nil && match != "" && match != tag {
		if by, ok := file.(interface {
			Has(content []byte, tag string) bool
		}); !ok || !by.Has(data, match) {
			err = volume.ErrChanged
		}
	}
	return data, tag, err
}

// diff shows what was replaced. Lines are those of the file before each edit.
func diff(spans []text.Span) string {
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "@@ line %d @@\n", s.Line)
		for _, side := range []struct{ sign, text string }{{"-", s.Old}, {"+", s.New}} {
			for line := range strings.Lines(side.text) {
				b.WriteString(side.sign + strings.TrimRight(line, "\r\n") + "\n")
			}
		}
	}
	return b.String()
}

type changeInput struct {
	Op        string `json:"op" enum:"copy|move|delete|mkdir"`
	Path      string `json:"path"`
	To        string `json:"to,omitempty"`
	IfMatch   string `json:"if_match,omitempty" jsonschema:"for delete"`
	Overwrite bool   `json:"overwrite,omitempty"`
	Recursive bool   `json:"recursive,omitempty" jsonschema:"delete all in it"`
}

func (f *files) change(ctx context.Context, _ *server.Call, in changeInput) (done, error) {
	switch in.Op {
	case "copy":
		return f.copy(ctx, in)
	case "move":
		return f.move(ctx, in)
	case "delete":
		return f.remove(ctx, in)
	}
	return f.mkdir(ctx, in)
}

// ends gives both mounts and keys of a copy or move, each of them judged.
func (f *files) ends(in changeInput, takes bool) (from, to *mount, keys [2]string, err error) {
	if in.To == "" {
		return nil, nil, keys, server.Errorf("give to, the path that it is to have", "to is missing")
	}
	if from, keys[0], err = f.file(in.Path, takes, takes); err != nil {
		return nil, nil, keys, err
	}
	to, keys[1], err = f.file(in.To, takes, true)
	return from, to, keys, err
}

func (f *files) copy(ctx context.Context, in changeInput) (done, error) {
	from, to, keys, err := f.ends(in, false)
	if err != nil {
		return done{}, err
	}
	if from == to && keys[0] == keys[1] {
		return done{}, server.Errorf("choose another path", "a file cannot be copied onto itself")
	}
	when := volume.Condition{Absent: !in.Overwrite}
	if from == to && from.remote {
		return from.copyWithin(ctx, in, keys, when)
	}
	file, err := from.volume.Open(ctx, keys[0])
	if errors.Is(err, volume.ErrIsDir) {
		return done{}, server.Errorf("copy the files in it one by one", "%.200q is a directory", in.Path)
	}
	if err != nil {
		return done{}, told(err, in.Path)
	}
	defer func() { _ = file.Close() }()
	if file.Info().Size > to.max {
		return done{}, told(volume.ErrTooLarge, in.Path)
	}
	body, err := file.Range(ctx, 0, -1)
	if err != nil {
		return done{}, told(err, in.Path)
	}
	defer func() { _ = body.Close() }()
	info, err := to.volume.Put(ctx, keys[1], io.LimitReader(body, to.max), file.Info().Size, when)
	return to.made(info, to.taken(ctx, err, in, keys[1]), keys[1])
}

// copyWithin has the service copy an object.
func (m *mount) copyWithin(ctx context.Context, in changeInput, keys [2]string, when volume.Condition) (done, error) {
	info, err := m.volume.Stat(ctx, keys[0])
	if err == nil && info.Size > m.max {
		err = volume.ErrTooLarge
	}
	if err != nil {
		return done{}, told(err, in.Path)
	}
	info, err = m.volume.Copy(ctx, keys[0], keys[1], when)
	return m.made(info, err, keys[1])
}

func (f *files) move(ctx context.Context, in changeInput) (done, error) {
	from, to, keys, err := f.ends(in, true)
	if err != nil {
		return done{}, err
	}
	if from != to {
		return done{}, server.Errorf("copy the file and then delete it", "files cannot be moved to another mount")
	}
	if keys[0] == from.policy.prefix || keys[1] == from.policy.prefix {
		return done{}, server.Errorf("choose another path", "the root of a mount stays where it is")
	}
	all, err := from.below(ctx, keys[0])
	if err != nil {
		return done{}, told(err, in.Path)
	}
	for _, i := range all {
		for _, key := range []string{i.Key, keys[1] + strings.TrimPrefix(i.Key, keys[0])} {
			if err := from.policy.check(key, i.Dir, true); err != nil {
				return done{}, err
			}
		}
	}
	when := volume.Condition{Absent: !in.Overwrite}
	if from.remote && all[0].Dir {
		return from.moveAll(ctx, all, keys, when)
	}
	info, err := from.volume.Move(ctx, keys[0], keys[1], when)
	if err != nil {
		return done{}, told(to.taken(ctx, err, in, keys[1]), in.To)
	}
	return to.done(ctx, info, keys[1])
}

// taken says of a target that is a directory how to put something into it.
func (m *mount) taken(ctx context.Context, err error, in changeInput, key string) error {
	if !errors.Is(err, fs.ErrExist) && !errors.Is(err, volume.ErrIsDir) {
		return err
	}
	if there, statErr := m.volume.Stat(ctx, key); statErr != nil || !there.Dir {
		return err
	}
	inside := strings.TrimSuffix(in.To, "/") + "/" + path.Base(in.Path)
	return server.Errorf("to put it there give the name, too: "+inside, "%.200q is a directory", in.To)
}

// moveAll moves a directory of a bucket object by object: those that were judged, and no others. When it ends early,
// the same call again moves the rest.
func (m *mount) moveAll(ctx context.Context, all []volume.Info, keys [2]string, when volume.Condition) (done, error) {
	if volume.Within(keys[1], keys[0]) {
		return done{}, told(fs.ErrInvalid, m.shown(keys[1]))
	}
	moved := 0
	for _, i := range all {
		target := keys[1] + strings.TrimPrefix(i.Key, keys[0])
		if i.Dir {
			continue
		}
		if _, err := m.volume.Move(ctx, i.Key, target, when); err != nil {
			err = told(err, m.shown(target))
			var known *server.Error
			if errors.As(err, &known) && moved > 0 {
				return done{}, &server.Error{Message: fmt.Sprintf("%d files were moved, then: %s", moved, known.Message), Next: known.Next + "; the same call moves the rest", Err: err}
			}
			return done{}, err
		}
		moved++
	}
	if moved == 0 {
		if err := m.volume.Mkdir(ctx, keys[1]); err != nil {
			return done{}, told(err, m.shown(keys[1]))
		}
	}
	for i := len(all) - 1; i >= 0; i-- { // markers of directories that are empty now
		if !all[i].Dir {
			continue
		}
		err := m.volume.Remove(ctx, all[i].Key, volume.Condition{})
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, volume.ErrNotEmpty) {
			return done{}, told(err, m.shown(all[i].Key))
		}
	}
	return done{Path: m.shown(keys[1])}, nil
}

func (f *files) remove(ctx context.Context, in changeInput) (done, error) {
	m, key, err := f.file(in.Path, true, true)
	if err != nil {
		return done{}, err
	}
	if key == m.policy.prefix {
		return done{}, server.Errorf("delete what is in it", "the root of a mount cannot be deleted")
	}
	all, err := m.below(ctx, key)
	if err != nil {
		return done{}, told(err, in.Path)
	}
	for _, i := range all {
		if err := m.policy.check(i.Key, i.Dir, true); err != nil {
			return done{}, err
		}
	}
	if len(all) > 1 && !in.Recursive {
		return done{}, told(volume.ErrNotEmpty, in.Path)
	}
	for i := len(all) - 1; i >= 0; i-- {
		err := m.volume.Remove(ctx, all[i].Key, volume.Condition{Match: in.IfMatch})
		if all[i].Dir && len(all) > 1 && errors.Is(err, fs.ErrNotExist) {
			continue // a bucket's directory is gone with the last file in it
		}
		if err != nil {
			return done{}, told(err, m.shown(all[i].Key))
		}
	}
	return done{Path: m.shown(key)}, nil
}

// maxTree is how many files and directories one call moves or deletes.
const maxTree = 10_000

var errTree = errors.New("the tree is too large")

// below gives what is at key and all below it, each directory before what is in it, whether it may be seen or not.
func (m *mount) below(ctx context.Context, key string) ([]volume.Info, error) {
	self, err := m.volume.Lstat(ctx, key)
	if err != nil {
		return nil, err
	}
	all := []volume.Info{self}
	for at := 0; at < len(all); at++ {
		if !all[at].Dir || all[at].Link != "" {
			continue
		}
		more, err := m.volume.List(ctx, all[at].Key, "", maxTree+1)
		if err != nil {
			return nil, err
		}
		if all = append(all, more...); len(all) > maxTree {
			return nil, &server.Error{Message: "there is too much in the directory", Next: "take one of the directories in it first", Err: errTree}
		}
	}
	return all, nil
}

func (f *files) mkdir(ctx context.Context, in changeInput) (done, error) {
	m, key, err := f.file(in.Path, true, true)
	if err != nil {
		return done{}, err
	}
	if err := m.volume.Mkdir(ctx, key); err != nil {
		return done{}, told(err, in.Path)
	}
	return done{Path: m.shown(key)}, nil
}
