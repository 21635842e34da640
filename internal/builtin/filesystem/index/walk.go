package index

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// Bounds of a walk.
const (
	page     = 4096      // entries of a directory in memory at a time
	maxDepth = 128       // directories within each other
	maxRead  = 256 << 10 // bytes of a .gitignore
)

const rulesFile = ".gitignore"

// errStop ends a walk early.
var errStop = errors.New("stop")

// A walk visits files and directories in the order of their keys' elements. Links are not followed.
type walk struct {
	volume volume.Volume
	permit func(key string, dir bool) bool
	all    bool // what .gitignore names, too
	// Elements of the key after which it begins, the last one empty when that is a directory whose content comes first;
	// none for the beginning.
	after []string
	visit func(volume.Info) error
}

func (w *walk) run(ctx context.Context, dir string) error {
	var rules []rule
	if !w.all {
		above := strings.Split(dir, "/")
		for i := range above {
			rules = append(rules, w.rules(ctx, strings.Join(above[:i], "/"))...)
		}
	}
	err := w.enter(ctx, dir, rules, w.after)
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// enter walks a directory, from the element that after begins with.
func (w *walk) enter(ctx context.Context, dir string, rules []rule, after []string) error {
	if strings.Count(dir, "/") > maxDepth {
		return nil
	}
	last := ""
	if len(after) > 0 {
		if !w.all {
			rules = append(slices.Clip(rules), w.rules(ctx, dir)...)
		}
		if err := w.resume(ctx, dir, rules, after); err != nil {
			return err
		}
		if last = after[0]; len(after) > 1 {
			last += "/"
		}
	}
	for first := len(after) == 0; ; first = false {
		list, err := w.volume.List(ctx, dir, last, page)
		if err != nil {
			return passing(err)
		}
		if first && !w.all && mayHaveRules(list) {
			rules = append(slices.Clip(rules), w.rules(ctx, dir)...)
		}
		for _, info := range list {
			if err := w.entry(ctx, info, rules); err != nil {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
		last = list[len(list)-1].Position()
	}
}

// mayHaveRules says whether the first entries of a directory have its .gitignore, or end before where that would be:
// there are volumes where asking for a file costs a request.
func mayHaveRules(list []volume.Info) bool {
	if len(list) == page && list[page-1].Position() < rulesFile {
		return true
	}
	return slices.ContainsFunc(list, func(i volume.Info) bool { return i.Position() == rulesFile })
}

// resume goes on within the directory where an earlier walk ended.
func (w *walk) resume(ctx context.Context, dir string, rules []rule, after []string) error {
	if len(after) == 1 {
		return nil
	}
	key := volume.Join(dir, after[0])
	if !w.permit(key, true) || ignored(rules, key, true) {
		return nil
	}
	return w.enter(ctx, key, rules, after[1:])
}

func (w *walk) entry(ctx context.Context, info volume.Info, rules []rule) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if info.Link != "" || !w.permit(info.Key, info.Dir) || ignored(rules, info.Key, info.Dir) {
		return nil
	}
	if info.Dir && strings.HasSuffix("/"+info.Key, "/.git") && !w.all {
		return nil
	}
	if err := w.visit(info); err != nil || !info.Dir {
		return err
	}
	return w.enter(ctx, info.Key, rules, nil)
}

func (w *walk) rules(ctx context.Context, dir string) []rule {
	f, err := w.volume.Open(ctx, volume.Join(dir, rulesFile))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	body, err := f.Range(ctx, 0, maxRead)
	if err != nil {
		return nil
	}
	defer func() { _ = body.Close() }()
	text, err := io.ReadAll(body)
	if err != nil {
		return nil
	}
	return readRules(dir, string(text))
}

// passing drops what happens to a directory that is removed, replaced or closed to us while we walk.
func passing(err error) error {
	for _, harmless := range []error{fs.ErrNotExist, fs.ErrPermission, volume.ErrChanged, volume.ErrNotDir} {
		if errors.Is(err, harmless) {
			return nil
		}
	}
	return err
}
