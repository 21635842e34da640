package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

const userLong = `Manage the local users, who log in with a password at POST /token if
auth.passwords.enabled says so.

These commands work on the state that the configuration names (state.driver and
state.path or state.dsn), whether a gateway runs or not. Gateways that run take
changes up within seconds. A password is asked for at the terminal, or read from
standard input; it never is an argument.`

func newUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "user",
		Short:   "Manage the local users",
		Long:    userLong,
		GroupID: groupSet,
		Example: `  dragoman user add ann --role admin
  dragoman user disable ann
  pass show dragoman/ann | dragoman user passwd ann`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newUserAdd(), newUserList(), newUserRole(),
		userCommand("passwd NAME", "Give a user another password", "Its logins so far end.", passwd),
		userCommand("disable NAME", "Let a user in no more", "Its logins and API keys end, within seconds.",
			func(ctx context.Context, k *kept, u *users.Users) error {
				return k.told("is disabled", u.SetDisabled(ctx, k.args[0], true))
			}),
		userCommand("enable NAME", "Let a disabled user in again", "Its API keys hold again; it has to log in anew.",
			func(ctx context.Context, k *kept, u *users.Users) error {
				return k.told("is enabled", u.SetDisabled(ctx, k.args[0], false))
			}),
		userCommand("unlock NAME", "Forget that a user failed to log in", "After five failures in a row each attempt has to wait, up to 15 minutes.",
			func(ctx context.Context, k *kept, u *users.Users) error {
				return k.told("may log in at once", u.Unlock(ctx, k.args[0]))
			}),
		userCommand("remove NAME", "Remove a user", `Its logins end, and the API keys that act on its behalf. The accounts that it
has connected at servers are forgotten, with the keys that they were encrypted
with; then the servers' authorization servers are asked to take them back
(RFC 7009), and those that do not are named. To keep the name from being given
to somebody else, disable the user instead.`, remove),
	)
	return cmd
}

// userCommand is a command about one user.
func userCommand(use, short, long string, do func(context.Context, *kept, *users.Users) error) *cobra.Command {
	k := &keeper{}
	return k.command(use, short, short+".\n\n"+long, 1, func(ctx context.Context, k *kept) error { return do(ctx, k, k.users()) })
}

func (k *kept) users() *users.Users { return users.New(k.Users, k.Families, users.Options{}) }

// remove removes a user and all that is kept for it. That it is removed is said before
// authorization servers are named that were not told: it is whatever they do.
func remove(ctx context.Context, k *kept, u *users.Users) error {
	err := u.Remove(ctx, k.args[0])
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	ended, erased := k.erase(ctx, users.Principal(store.User{Name: k.args[0]}, "").ID)
	if err = k.told("is removed", errors.Join(err, erased)); len(ended) > 0 {
		k.screen.say("%s forgotten", count(len(ended), "connected account"))
	}
	k.untold(ended)
	return err
}

// told says that something was done with the user that is named.
func (k *kept) told(what string, err error) error {
	if err == nil {
		k.screen.say("%s %s", k.args[0], what)
	}
	return err
}

func newUserAdd() *cobra.Command {
	var u store.User
	without := false
	k := &keeper{}
	cmd := k.command("add NAME", "Add a user", `Add a user. Its password is asked for, or read from standard input as one line;
it needs 12 characters.`, 1, func(ctx context.Context, k *kept) error {
		u.Name = k.args[0]
		return k.add(ctx, u, without)
	})
	cmd.Flags().StringVar(&u.Role, "role", users.RoleUser, "`ROLE`: "+strings.Join(users.Roles(), ", "))
	cmd.Flags().StringVar(&u.FullName, "full-name", "", "what people call it")
	cmd.Flags().StringVar(&u.Email, "email", "", "`ADDRESS`")
	cmd.Flags().BoolVar(&without, "no-password", false, "a user who cannot log in, for API keys that act on its behalf")
	return cmd
}

func (k *kept) add(ctx context.Context, u store.User, without bool) error {
	if err := oneOf("--role", u.Role, users.Roles()...); err != nil {
		return err
	}
	password := ""
	if !without {
		var err error
		if password, err = k.password(ctx); err != nil {
			return err
		}
		if password == "" {
			return exit(exitUsage, errors.New("the password is empty: --no-password makes a user without one"))
		}
	}
	err := k.users().Add(ctx, u, password)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("there is a user %s already", u.Name)
	}
	if err == nil && !without && !k.cfg.Auth.Passwords.Enabled && !k.cfg.Auth.Server.Enabled {
		k.screen.say("note: auth.passwords.enabled is false, so that nobody can log in with a password yet")
	}
	return k.told("is added as "+u.Role, err)
}

func passwd(ctx context.Context, k *kept, u *users.Users) error {
	if _, err := u.Get(ctx, k.args[0]); err != nil {
		return fmt.Errorf("find user %s: %w", k.args[0], err)
	}
	password, err := k.password(ctx)
	if err != nil {
		return err
	}
	if password == "" {
		return exit(exitUsage, errors.New("the password is empty"))
	}
	return k.told("has another password", u.SetPassword(ctx, k.args[0], password))
}

func newUserRole() *cobra.Command {
	k := &keeper{}
	return k.command("role NAME ROLE", "Give a user another role", "Give a user another role: "+strings.Join(users.Roles(), ", ")+".", 2,
		func(ctx context.Context, k *kept) error {
			if err := oneOf("ROLE", k.args[1], users.Roles()...); err != nil {
				return err
			}
			return k.told("is now "+k.args[1], k.users().SetRole(ctx, k.args[0], k.args[1]))
		})
}

func newUserList() *cobra.Command {
	k := &keeper{}
	return k.formatted(k.command("list", "List the users", "List the users: what they may be, and whether they can log in.", 0,
		func(ctx context.Context, k *kept) error { return k.listUsers(ctx) }))
}

func (k *kept) listUsers(ctx context.Context) error {
	local, all := k.users(), []store.User{}
	for after := ""; ; {
		page, err := local.List(ctx, after, pageSize)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		all, after = append(all, page...), page[len(page)-1].Name
	}
	if k.json {
		return k.usersJSON(local, all)
	}
	list := &table{head: []string{"NAME", "ROLE", "LOGIN", "SINCE", "FULL NAME"}}
	for _, u := range all {
		list.add(u.Name, u.Role, login(local, u), when(u.Created, ""), oneLine(u.FullName))
	}
	list.write(k.screen.out, k.screen)
	return nil
}

// login says in a word or two whether a user can log in.
func login(local *users.Users, u store.User) string {
	until := local.LockedUntil(u)
	switch {
	case u.Disabled:
		return "disabled"
	case u.Password == "":
		return "no password"
	case !until.IsZero():
		return "locked until " + until.Local().Format("15:04:05")
	}
	return "yes"
}

func (k *kept) usersJSON(local *users.Users, all []store.User) error {
	list := []map[string]any{}
	for _, u := range all {
		list = append(list, map[string]any{
			"name": u.Name, "full_name": u.FullName, "email": u.Email, "role": u.Role, "disabled": u.Disabled, "password": u.Password != "",
			"failures": u.Failures, "locked_until": stamp(local.LockedUntil(u)), "created": stamp(u.Created), "updated": stamp(u.Updated),
		})
	}
	return printJSON(k.screen, map[string]any{"users": list})
}
