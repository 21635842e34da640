package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/auth/keys"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

const tokenLong = `Manage API keys, which programs send as a bearer token if auth.keys.enabled says
so. A key is shown once, when it is made; only its digest is kept.

These commands work on the state that the configuration names, whether a gateway
runs or not. A key that is revoked ends on every gateway within 5 seconds.`

// defaultLife is how long a key holds if nothing else is said.
const defaultLife = "90d"

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Aliases: []string{"key"},
		Short:   "Manage API keys",
		Long:    tokenLong,
		GroupID: groupSet,
		Example: `  dragoman token create ci --expires 30d --servers files,web
  dragoman token revoke k3n5x2qwertz`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTokenCreate(), newTokenList(), newTokenRevoke())
	return cmd
}

func newTokenCreate() *cobra.Command {
	var wanted keys.Wanted
	var expires string
	k := &keeper{}
	cmd := k.formatted(k.command("create NAME", "Make an API key", `Make an API key, and show it. It cannot be shown again.

It acts for itself, or with --owner on behalf of a user: then it ends when that
user is disabled, removed, or no longer has the role.`, 1, func(ctx context.Context, k *kept) error {
		wanted.Name = k.args[0]
		return k.createToken(ctx, wanted, expires)
	}))
	cmd.Flags().StringVar(&wanted.Role, "role", users.RoleUser, "`ROLE`: "+strings.Join(users.Roles(), ", "))
	cmd.Flags().StringVar(&wanted.Owner, "owner", "", "`USER` on whose behalf it acts")
	cmd.Flags().StringVar(&expires, "expires", defaultLife, "`WHEN` it ends: 12h, 30d, 2026-12-31 or never")
	cmd.Flags().StringSliceVar(&wanted.Servers, "servers", nil, "`NAMES` of the servers that it is good for, with commas; default all")
	return cmd
}

func (k *kept) createToken(ctx context.Context, wanted keys.Wanted, expires string) error {
	var err error
	if wanted.Expires, err = expiry(expires, time.Now()); err != nil {
		return exit(exitUsage, err)
	}
	if err := oneOf("--role", wanted.Role, users.Roles()...); err != nil {
		return err
	}
	if err := k.serversExist(wanted.Servers); err != nil {
		return err
	}
	secret, key, err := keys.New(k.Store, keys.Options{}).Create(ctx, wanted)
	if err != nil {
		return err
	}
	if !k.cfg.Auth.Keys.Enabled {
		k.screen.say("note: auth.keys.enabled is false, so that no gateway takes API keys yet")
	}
	if k.json {
		made := tokenJSON(key)
		made["token"] = secret.Reveal()
		return printJSON(k.screen, made)
	}
	k.screen.say("key %s (%s) for %s, until %s; keep it, it is not shown again:", key.ID, oneLine(key.Name), key.Role, when(key.Expires, "it is revoked"))
	fmt.Fprintln(k.screen.out, secret.Reveal())
	return nil
}

// serversExist refuses a key for servers that are not there, which would be good
// for whatever is called so later.
func (k *kept) serversExist(names []string) error {
	known := slices.Sorted(maps.Keys(k.cfg.Servers))
	for _, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		err := fmt.Errorf("--servers: there is no server %q in the configuration", name)
		if guess := strict.Suggest(name, known); guess != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, guess)
		}
		return exit(exitNotFound, err)
	}
	return nil
}

// expiry reads when a key ends: after a duration, for which days (d) and weeks (w)
// are known too, at the end of a day, or never.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	for unit, days := range map[string]int{"d": 1, "w": 7} {
		number, ok := strings.CutSuffix(text, unit)
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 && n <= 36500 {
			return now.AddDate(0, 0, n*days), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("--expires %s is no time to come: write it like 12h, 30d, 8w, 2026-12-31 or never", text)
}

func newTokenList() *cobra.Command {
	owner := ""
	k := &keeper{}
	cmd := k.formatted(k.command("list", "List the API keys", "List the API keys, revoked and expired ones too. When one was used last is\nknown to the minute.", 0,
		func(ctx context.Context, k *kept) error { return k.listTokens(ctx, owner) }))
	cmd.Flags().StringVar(&owner, "owner", "", "only those that act on behalf of `USER`")
	return cmd
}

func (k *kept) listTokens(ctx context.Context, owner string) error {
	var all []store.Key
	for after := ""; ; {
		page, err := k.Keys.List(ctx, owner, after, pageSize)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		all, after = append(all, page...), page[len(page)-1].ID
	}
	slices.SortStableFunc(all, func(a, b store.Key) int { return a.Created.Compare(b.Created) })
	if k.json {
		list := []map[string]any{}
		for _, key := range all {
			list = append(list, tokenJSON(key))
		}
		return printJSON(k.screen, map[string]any{"tokens": list})
	}
	list := &table{head: []string{"ID", "NAME", "ROLE", "OWNER", "ENDS", "USED", "SERVERS"}}
	for _, key := range all {
		list.add(key.ID, oneLine(key.Name), key.Role, key.Owner, ends(key), when(key.Used, "never"), servers(key))
	}
	list.write(k.screen.out, k.screen)
	return nil
}

func ends(key store.Key) string {
	if !key.Revoked.IsZero() {
		return "revoked " + when(key.Revoked, "")
	}
	return when(key.Expires, "never")
}

func servers(key store.Key) string {
	if key.Servers == nil {
		return "all"
	}
	return strings.Join(key.Servers, " ")
}

func tokenJSON(key store.Key) map[string]any {
	return map[string]any{
		"id": key.ID, "name": key.Name, "owner": key.Owner, "role": key.Role, "servers": key.Servers, "created": stamp(key.Created),
		"expires": stamp(key.Expires), "used": stamp(key.Used), "revoked": stamp(key.Revoked),
	}
}

func newTokenRevoke() *cobra.Command {
	k := &keeper{}
	return k.command("revoke ID", "Revoke an API key", `Revoke an API key, by the ID that dragoman token list shows, which is the
part after drg_. It ends on every gateway within 5 seconds, and cannot be
brought back.`, 1, func(ctx context.Context, k *kept) error {
		if err := keys.New(k.Store, keys.Options{}).Revoke(ctx, k.args[0]); errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%w; dragoman token list shows the IDs", err)
		} else if err != nil {
			return err
		}
		return k.told("is revoked", nil)
	})
}
