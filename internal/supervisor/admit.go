package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
)

// What is fetched is told to whoever admits it by the digest of its contents, which was made when the fetch had ended, and
// again whenever the directory may have been touched since: then its seal, a digest of all files as they are, has to be
// the one that was noted. A directory that was changed is not used again.

// admit asks whether the child may be started, or its package.
func (c *Child) admit(ctx context.Context, contents *parcel.Contents) error {
	if c.spec.Admit == nil {
		return nil
	}
	var text []byte
	if contents != nil {
		var err error
		if text, err = contents.JSON(); err != nil {
			return fmt.Errorf("tell what package server %q is started from: %w", c.spec.Name, err)
		}
	}
	err := c.spec.Admit(ctx, text)
	if err != nil && ctx.Err() == nil {
		return &HeldError{Name: c.spec.Name, Err: err}
	}
	return err
}

// admitLoose asks about a program that its launcher fetches unseen. why says why it does.
func (c *Child) admitLoose(ctx context.Context, why string) error {
	if c.spec.Admit == nil {
		return nil
	}
	p, err := parcel.Parse(c.spec.Command)
	loose := parcel.Contents{Package: strings.Join(c.spec.Command[min(1, len(c.spec.Command)):], " "), NotPinned: why}
	switch {
	case p == nil && err == nil:
		return nil // it is no launcher
	case err != nil:
		loose.NotPinned = fmt.Sprintf("it %v, so that %s does it at each start", err, filepath.Base(c.spec.Command[0]))
	default:
		loose.Package = p.String()
	}
	if loose.NotPinned == "" {
		loose.NotPinned = fmt.Sprintf("%s finds or fetches it at each start; sandbox.fetch.when: always has it fetched beforehand", filepath.Base(c.spec.Command[0]))
	}
	return c.admit(ctx, &loose)
}

// maxMended bounds how often a package is fetched anew in one start because its directory was changed.
const maxMended = 2

// admitted returns the latest fetch that is as it was fetched and may be started from; got is the latest that there is.
func (c *Child) admitted(ctx context.Context, got *fetched) (*fetched, error) {
	if c.spec.Admit == nil {
		return got, nil
	}
	for range maxMended {
		err := c.sup.store.intact(ctx, got)
		if err == nil {
			return c.choose(ctx, got)
		}
		var broken *brokenError
		if !errors.As(err, &broken) {
			return nil, err
		}
		c.log.Warn("package was changed since it was fetched, and is fetched anew", "package", got.Package, "dir", got.dir)
		if got, err = c.sup.store.get(ctx, c); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("start server %q: its package is changed as often as it is fetched: see who writes to %s", c.spec.Name, got.dir)
}

// choose asks about the latest fetch, and when that is not admitted about those before it.
func (c *Child) choose(ctx context.Context, latest *fetched) (*fetched, error) {
	held := c.consider(ctx, latest)
	if held == nil {
		return latest, nil
	}
	var refused *HeldError
	if !errors.As(held, &refused) {
		return nil, held
	}
	for _, older := range c.sup.store.candidates(c.errand) {
		if older.dir == latest.dir || c.sup.store.intact(ctx, older) != nil || c.consider(ctx, older) != nil {
			continue
		}
		older.heldBack = latest.Package
		return older, nil
	}
	return nil, held
}

// consider asks about one fetch, and notes that it is in use.
func (c *Child) consider(ctx context.Context, f *fetched) error {
	text, err := os.ReadFile(filepath.Join(f.dir, contentsName))
	if err != nil {
		return fmt.Errorf("read what is in package %s: %w", f.Package, err)
	}
	var contents parcel.Contents
	if err := json.Unmarshal(text, &contents); err != nil || contents.Digest != f.Digest {
		return fmt.Errorf("read what is in package %s: %s does not fit %s", f.Package, contentsName, markerName)
	}
	if err := c.admit(ctx, &contents); err != nil {
		return err
	}
	_ = os.WriteFile(filepath.Join(f.dir, admittedName), []byte(time.Now().UTC().Format(time.RFC3339)), 0o600) // without it, it is only removed sooner
	return nil
}

// brokenError says that a directory is not as it was fetched.
type brokenError struct{ dir string }

func (e *brokenError) Error() string { return e.dir + " was changed since it was fetched" }

// intact looks whether the directory of a fetch is as it was when that had ended. One that is not is given up.
func (s *store) intact(ctx context.Context, f *fetched) error {
	stamp := parcel.Stamp(ctx, f.dir, notes)
	s.mu.Lock()
	known := stamp != "" && s.stamps[f.dir] == stamp
	s.mu.Unlock()
	if known {
		return nil
	}
	seal, err := parcel.Seal(ctx, f.dir, notes)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil || seal != f.Seal {
		_ = os.Remove(filepath.Join(f.dir, markerName)) // if that fails it is found out again
		return &brokenError{f.dir}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamps[f.dir] = stamp // of before the seal was made: what has changed meanwhile shows
	return nil
}

// notes are the files that the store writes about a fetch into its directory.
func notes(below string) bool {
	switch below {
	case markerName, markerName + ".new", contentsName, admittedName:
		return true
	}
	return false
}
