package users

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Verify gives the user whose name and password these are. Its errors are
// ErrRefused, ErrDisabled and ErrBusy; any other means that it cannot be said now.
func (u *Users) Verify(ctx context.Context, name, password string) (store.User, error) {
	begun := time.Now()
	user, err := u.verify(ctx, name, password)
	if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrDisabled) { // who logs in is told the same of both
		return user, err
	}
	// On a busy machine it may have taken longer than Floor: then it takes twice that.
	rest := time.NewTimer(u.o.Floor - time.Since(begun)%u.o.Floor)
	defer rest.Stop()
	select {
	case <-rest.C:
		return store.User{}, err
	case <-ctx.Done():
		return store.User{}, ctx.Err()
	}
}

func (u *Users) verify(ctx context.Context, name, password string) (store.User, error) {
	if len(password) > maxPassword || !nameForm.MatchString(name) {
		return store.User{}, ErrRefused
	}
	user, err := u.users.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		if _, err = u.matches(ctx, u.unknown(), password); err == nil {
			err = ErrRefused
		}
		return store.User{}, err
	}
	if err != nil {
		return store.User{}, fmt.Errorf("read user: %w", err)
	}
	if !u.LockedUntil(user).IsZero() {
		return store.User{}, ErrRefused
	}
	// The attempt is counted first: of many at once none is for free.
	err = u.users.Attempt(ctx, name, user.Failures, u.o.Now())
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return store.User{}, ErrRefused
	}
	if err != nil {
		return store.User{}, fmt.Errorf("count the attempt: %w", err)
	}
	return u.decide(ctx, user, password)
}

// decide compares the password, and takes the count back if it is right.
func (u *Users) decide(ctx context.Context, user store.User, password string) (store.User, error) {
	stored, err := parseHash(user.Password)
	if user.Password == "" {
		stored, err = u.unknown(), nil
	}
	if err != nil {
		return store.User{}, fmt.Errorf("check the password of %s: %w", user.Name, err)
	}
	right, err := u.matches(ctx, stored, password)
	switch {
	case err != nil:
		return store.User{}, err
	case !right || user.Password == "":
		return store.User{}, ErrRefused
	}
	if err := u.users.Succeed(ctx, user.Name); err != nil {
		return store.User{}, fmt.Errorf("note the login: %w", err)
	}
	if user.Disabled {
		return store.User{}, ErrDisabled
	}
	if stored.dated() {
		return u.refresh(ctx, user, password)
	}
	return user, nil
}

// refresh hashes a password anew that was hashed with another cost. If somebody
// changes the user at the same time it is left for the next login.
func (u *Users) refresh(ctx context.Context, user store.User, password string) (store.User, error) {
	hashed, err := u.reserved(ctx, func() hash { return newHash(password) })
	if err != nil {
		return store.User{}, err
	}
	changed := user
	changed.Password = hashed.String()
	switch err := u.users.Put(ctx, changed); {
	case errors.Is(err, store.ErrConflict):
		return user, nil
	case err != nil:
		return store.User{}, fmt.Errorf("hash the password anew: %w", err)
	}
	changed.Version++
	return changed, nil
}

func (u *Users) hash(ctx context.Context, name, password string) (string, error) {
	if err := checkPassword(name, password); err != nil {
		return "", err
	}
	h, err := u.reserved(ctx, func() hash { return newHash(password) })
	return h.String(), err
}

func (u *Users) matches(ctx context.Context, stored hash, password string) (right bool, err error) {
	_, err = u.reserved(ctx, func() hash {
		right = stored.is(password)
		return stored
	})
	return right, err
}

// reserved hashes when a processor is free. Each hash takes memory, so their
// number is bounded, and the number of those who wait too.
func (u *Users) reserved(ctx context.Context, do func() hash) (hash, error) {
	select {
	case u.queue <- struct{}{}:
		defer func() { <-u.queue }()
	default:
		return hash{}, ErrBusy
	}
	select {
	case u.hashing <- struct{}{}:
		defer func() { <-u.hashing }()
	case <-ctx.Done():
		return hash{}, ctx.Err()
	}
	return do(), nil
}

// Unchanged reports whether a user is there, is not disabled, and has not been changed
// since. With another password, or disabled, all logins of a user end: whoever has
// begun one with the user as it was then asks before it is worth anything.
func Unchanged(ctx context.Context, table store.Users, name string, since time.Time) (bool, error) {
	user, err := table.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && !user.Disabled && user.Updated.Equal(since), err
}
