// Package filesystem is the built-in server for files: it lists, reads, searches and, where the operator allows it,
// changes what is in the directories that are mounted. It does not know the gateway, and reaches nothing outside of the
// mounts: see package local for how.
package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
)

// New makes the server.
func New(env *server.Env) (*server.Server, error) {
	var cfg settings
	if err := env.Decode(&cfg); err != nil {
		return nil, err
	}
	f := &files{most: int64(cfg.Limits.Bytes)}
	f.watch = newWatch(f)
	s := server.New(env, server.About{
		Name: "filesystem", Title: "Files",
		Instructions: "Go on with next_cursor when truncated; pass an etag as if_match to keep what others changed.",
		Limits:       cfg.Limits, Subscribe: f.watch.subscribe, Unsubscribe: f.watch.unsubscribe,
	})
	key, err := tagKey(env)
	if err != nil {
		s.Log().Info("etags are SHA-256, which takes longer than with a key", "err", err)
	}
	mounts, err := cfg.open(maker{env: env, network: s.Network, tagKey: key})
	if err != nil {
		return nil, err
	}
	f.mounts = mounts
	f.watch.updated = updates(s)
	for _, m := range mounts {
		s.OnClose(m.volume.Close)
		s.Check("mount "+m.name, m.check)
		s.Go(func(ctx context.Context) error { return f.watch.run(ctx, m) })
		if m.remote {
			s.Go(func(ctx context.Context) error { return m.greet(ctx, s.Log()) })
		}
	}
	f.reading(s)
	if slices.ContainsFunc(mounts, func(m *mount) bool { return m.policy.write }) {
		f.writing(s)
	}
	f.resources(s)
	return s, nil
}

// check says whether the files of a mount can be reached.
func (m *mount) check(ctx context.Context) error {
	_, err := m.volume.Stat(ctx, m.policy.prefix)
	if m.remote && errors.Is(err, fs.ErrNotExist) {
		err = nil // a prefix under which nothing is yet
	}
	return told(err, m.shown(m.policy.prefix))
}

// greet looks at a bucket once, so that what is wrong with its settings stands in the log before somebody calls.
func (m *mount) greet(ctx context.Context, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, greeting)
	defer cancel()
	if err := m.check(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Warn("a mount cannot be used now", "mount", m.name, "err", err, "cause", errors.Unwrap(err))
	}
	return nil
}

// greeting bounds the first look at a bucket.
const greeting = 15 * time.Second

// files is what the tools work on.
type files struct {
	mounts []*mount
	most   int64 // bytes of one answer
	watch  *watch
}

// find gives the mount of a path and the key in it. A nil mount is the directory of all mounts.
func (f *files) find(name string) (*mount, string, error) {
	key, err := volume.Clean(name)
	if err != nil {
		return nil, "", server.Errorf("write a path like docs/a.txt, without .. and \\", "cannot use the path %.200q: %w", name, err)
	}
	m := f.mounts[0]
	if m.name != "" {
		first, rest, _ := strings.Cut(key, "/")
		at := slices.IndexFunc(f.mounts, func(m *mount) bool { return m.name == first })
		if key == "" {
			return nil, "", nil
		}
		if at < 0 {
			return nil, "", server.Errorf("begin the path with one of: "+f.names(), "there is no mount %.100q", first)
		}
		m, key = f.mounts[at], rest
	}
	if key = volume.Join(m.policy.prefix, key); len(key) > volume.MaxKey {
		return nil, "", server.Errorf("use a shorter path", "the path is too long")
	}
	return m, key, nil
}

// file gives the mount of a path that cannot be all of the mounts, and judges the key in it.
func (f *files) file(name string, dir, write bool) (*mount, string, error) {
	m, key, err := f.find(name)
	if err != nil {
		return nil, "", err
	}
	if m == nil {
		return nil, "", server.Errorf("add a mount, one of: "+f.names(), "the path is the list of mounts")
	}
	return m, key, m.policy.check(key, dir, write)
}

func (f *files) names() string {
	var names []string
	for _, m := range f.mounts {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

// shown gives the path of a key as callers write it.
func (m *mount) shown(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, m.policy.prefix), "/")
	return volume.Join(m.name, key)
}

// told makes what a volume says an error for the caller. What is not known stays internal.
func told(err error, name string) error {
	var known *server.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	quoted := "the mount"
	if name != "" {
		quoted = fmt.Sprintf("%.200q", name)
	}
	for _, e := range []struct {
		is        error
		what, now string
	}{
		{fs.ErrNotExist, "is not there", "call list or search to see what is"},
		{fs.ErrExist, "is there already", "set overwrite, or choose another path"},
		{volume.ErrRefused, "cannot be reached: the storage service refuses the credentials of the mount", "ask the operator to check the keys in its settings"},
		{volume.ErrNoBucket, "cannot be reached: there is no such bucket", "ask the operator to check url, endpoint and region of the mount"},
		{volume.ErrUnreachable, "cannot be reached: the storage service does not answer", "try again later, or ask the operator to check the endpoint of the mount"},
		{volume.ErrBusy, "cannot be reached: the storage service has too much to do", "try again in a minute"},
		{volume.ErrGarbled, "was not written: the storage service kept other bytes than were sent", "try again, or tell the operator that the service does not take large files as they are"},
		{fs.ErrPermission, "is closed to the server", "ask the operator for the permissions of the file or bucket"},
		{fs.ErrInvalid, "cannot be used for that: it is the same, or lies within", "choose another path"},
		{volume.ErrChanged, "has changed", "read it again and repeat with the new etag"},
		{volume.ErrIsDir, "is a directory", "call list for what is in it"},
		{volume.ErrNotDir, "is not a directory", "call stat or read for a file"},
		{volume.ErrNotEmpty, "is a directory that is not empty", "set recursive to delete all that is in it"},
		{volume.ErrSpecial, "is neither a file nor a directory", "choose another path"},
		{volume.ErrOutside, "leads out of what may be used", "choose another path"},
		{volume.ErrTooLarge, "is too large", "write less"},
	} {
		if errors.Is(err, e.is) {
			if e.is == fs.ErrNotExist && strings.HasPrefix(name, "/") {
				e.now = "paths begin in the mount and not at the root of the machine; call list or search to see what is"
			}
			t := server.Errorf(e.now, "%s %s", quoted, e.what)
			t.Err = err
			return t
		}
	}
	return err
}

// entry is a file or directory as tools tell it.
type entry struct {
	Path     string `json:"path"`
	Kind     string `json:"kind" jsonschema:"file, dir or link"`
	Size     int64  `json:"size"`
	Modified string `json:"modified,omitempty"`
	ETag     string `json:"etag,omitempty"`
}

func (m *mount) entry(i volume.Info) entry {
	e := entry{Path: m.shown(i.Key), Kind: "file", Size: i.Size, ETag: i.Tag}
	if !i.Modified.IsZero() {
		e.Modified = i.Modified.UTC().Format(time.RFC3339)
	}
	switch {
	case i.Dir:
		e.Kind = "dir"
	case i.Link != "" || strings.HasPrefix(i.Mode, "L"):
		e.Kind = "link"
	}
	return e
}
