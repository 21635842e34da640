// Package users knows the local users: it makes, changes and disables them, and
// says whether a name and a password are right. Guessing is made slow: attempts
// are counted before the password is looked at, on all replicas together, and
// from the sixth in a row each has to wait twice as long as the one before.
//
// It does not know what a role may do, what a login is worth to whom, nor how a
// token is made.
package users

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
)

var (
	// ErrRefused is a name and a password that do not let anybody in. Whether there
	// is such a user, whether the password is wrong, or whether there were too many
	// attempts, is not told.
	ErrRefused = errors.New("wrong user name or password, or too many attempts; wait a while before the next")
	// ErrDisabled is the right password of a user who is disabled.
	ErrDisabled = errors.New("user is disabled")
	// ErrBusy is too many logins at once.
	ErrBusy = errors.New("too many logins at once, come again")
)

// The roles, of which a user has one: S0's three.
const (
	RoleUser           = "user"
	RoleModelDeveloper = "model_developer"
	RoleAdmin          = "admin"
)

const (
	// free is how many attempts in a row need no wait; then the wait is firstWait,
	// doubled by each further attempt, up to longestWait: 100 guesses a day.
	free        = 5
	firstWait   = time.Second
	longestWait = 15 * time.Minute
	// waiting is how many logins wait for a processor.
	waiting = 64
	// changes is how often a change is tried again that somebody else was faster than.
	changes = 5
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)

// Options are what a Users may be told. The zero value is ready to use.
type Options struct {
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Floor is how long a refusal takes, or a multiple of it, so that its time does
	// not tell what was wrong; it has to be longer than a login takes. Default 400 ms.
	Floor time.Duration
}

// Users are the local users. It may be used concurrently.
type Users struct {
	users    store.Users
	families store.Families
	o        Options
	unknown  func() hash   // of no password, made when needed: what attempts by nobody are compared with
	hashing  chan struct{} // a place for each hash at once
	queue    chan struct{} // a place for each login that waits for that
}

// New returns the users in a store. Refresh tokens of a user who is disabled or
// gets another password are revoked.
func New(users store.Users, families store.Families, o Options) *Users {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Floor == 0 {
		o.Floor = 400 * time.Millisecond
	}
	return &Users{
		users: users, families: families, o: o, unknown: sync.OnceValue(func() hash { return newHash("") }),
		hashing: make(chan struct{}, runtime.GOMAXPROCS(0)), queue: make(chan struct{}, waiting),
	}
}

// Roles are all roles.
func Roles() []string { return []string{RoleUser, RoleModelDeveloper, RoleAdmin} }

// Covers says whether who has a role may also be another: an admin everything, and
// everybody a user.
func Covers(has, role string) bool { return has == role || has == RoleAdmin || role == RoleUser }

// Principal is a user as a caller, who proved to be that by a method.
func Principal(u store.User, method string) mcp.Principal {
	p := mcp.Principal{ID: "user:" + u.Name, Name: u.Name, Method: method}
	if u.Role != "" {
		p.Roles = []string{u.Role}
	}
	return p
}

// Add adds a user with a password; an empty one makes a user who cannot log in
// with one. ErrConflict means that the name is taken.
func (u *Users) Add(ctx context.Context, user store.User, password string) error {
	if !nameForm.MatchString(user.Name) {
		return fmt.Errorf("%q is not a user name: use 1 to 64 of a-z, 0-9 and . _ @ -, beginning with a letter or digit", user.Name)
	}
	if err := checkRole(user.Role); err != nil {
		return err
	}
	user.Password = ""
	if password != "" {
		hashed, err := u.hash(ctx, user.Name, password)
		if err != nil {
			return err
		}
		user.Password = hashed
	}
	user.Created = u.o.Now()
	user.Updated = user.Created
	if err := u.users.Add(ctx, user); err != nil {
		return fmt.Errorf("add user %s: %w", user.Name, err)
	}
	return nil
}

func checkRole(role string) error {
	if !slices.Contains(Roles(), role) {
		return fmt.Errorf("%q is not a role: use %s", role, strings.Join(Roles(), ", "))
	}
	return nil
}

// SetPassword gives a user another password and ends the logins that came of the
// one before. An empty password takes it away.
func (u *Users) SetPassword(ctx context.Context, name, password string) error {
	hashed := ""
	if password != "" {
		var err error
		if hashed, err = u.hash(ctx, name, password); err != nil {
			return err
		}
	}
	err := u.change(ctx, name, func(user *store.User) { user.Password = hashed })
	if err != nil {
		return err
	}
	return u.end(ctx, name)
}

// SetDisabled lets a user in no more, or again. What the user holds already ends
// within the time that the store's feed takes.
func (u *Users) SetDisabled(ctx context.Context, name string, disabled bool) error {
	err := u.change(ctx, name, func(user *store.User) { user.Disabled = disabled })
	if err != nil || !disabled {
		return err
	}
	return u.end(ctx, name)
}

// SetRole makes a user something else.
func (u *Users) SetRole(ctx context.Context, name, role string) error {
	if err := checkRole(role); err != nil {
		return err
	}
	return u.change(ctx, name, func(user *store.User) { user.Role = role })
}

// Unlock forgets the attempts to log in as a user.
func (u *Users) Unlock(ctx context.Context, name string) error {
	if err := u.users.Succeed(ctx, name); err != nil {
		return fmt.Errorf("unlock user %s: %w", name, err)
	}
	return nil
}

// Remove removes a user and ends the user's logins.
func (u *Users) Remove(ctx context.Context, name string) error {
	if err := u.users.Remove(ctx, name); err != nil {
		return fmt.Errorf("remove user %s: %w", name, err)
	}
	return u.end(ctx, name)
}

func (u *Users) end(ctx context.Context, name string) error {
	if _, err := u.families.RevokeAll(ctx, name, u.o.Now()); err != nil {
		return fmt.Errorf("end the logins of user %s: %w", name, err)
	}
	return nil
}

// Get gives a user.
func (u *Users) Get(ctx context.Context, name string) (store.User, error) {
	return u.users.Get(ctx, name)
}

// List gives users by name, those after a name, at most limit.
func (u *Users) List(ctx context.Context, after string, limit int) ([]store.User, error) {
	return u.users.List(ctx, after, limit)
}

// LockedUntil is until when no password of a user is looked at; zero if it is now.
func (u *Users) LockedUntil(user store.User) time.Time {
	until := user.LastAttempt.Add(wait(user.Failures))
	if !u.o.Now().Before(until) {
		return time.Time{}
	}
	return until
}

// change reads, changes and writes until nobody was faster.
func (u *Users) change(ctx context.Context, name string, do func(user *store.User)) error {
	var err error
	for range changes {
		var user store.User
		if user, err = u.users.Get(ctx, name); err != nil {
			break
		}
		do(&user)
		user.Updated = u.o.Now()
		if err = u.users.Put(ctx, user); !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("change user %s: %w", name, err)
	}
	return nil
}

// wait is how long the next attempt has to wait after so many.
func wait(failures int) time.Duration {
	if failures < free {
		return 0
	}
	if failures-free > 30 {
		return longestWait
	}
	return min(firstWait<<(failures-free), longestWait)
}
