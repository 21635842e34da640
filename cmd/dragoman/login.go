package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

const loginLong = `Connect an account at a server whose auth is oauth. It gives a link; open it in
your browser and log in there. From then on the gateway calls that server with
your account, for the caller that --as names.

The pages are the gateway's, so that one has to run with this configuration.
Callers can do the same by themselves: their client shows the link when a call
needs it, or they call the tool log_in of the server.`

// anyone is who calls a gateway that asks nobody who they are.
const anyone = "anyone"

func newLogin() *cobra.Command {
	as, only := "", false
	k := &keeper{}
	cmd := k.command("login SERVER", "Connect an account at a server", loginLong, 1, func(ctx context.Context, k *kept) error {
		return k.login(ctx, as, only)
	})
	cmd.GroupID = groupSet
	cmd.Example = `  dragoman login github --as user:alice
  dragoman login github --as local        # for dragoman stdio and dragoman call`
	cmd.Flags().StringVar(&as, "as", "", "`CALLER` whose account it is, as logs name it: user:alice, corp:4711")
	cmd.Flags().BoolVar(&only, "link", false, "give the link, and do not wait for the login")
	return cmd
}

func (k *kept) login(ctx context.Context, as string, only bool) error {
	name := k.args[0]
	if err := k.serversExist([]string{name}); err != nil {
		return err
	}
	if kind := k.cfg.Servers[name].Auth.Type; kind != "oauth" {
		return exit(exitUsage, fmt.Errorf("nobody logs in at %s: its auth is %s, not oauth", name, kind))
	}
	switch {
	case as == "" && k.cfg.Auth.Guarded():
		return exit(exitUsage, errors.New("--as: whose account is it? Write the caller as logs name it, like user:alice"))
	case as == anyone:
		as = ""
	}
	link, err := app.LoginLink(ctx, k.cfg, name, as)
	if err != nil {
		return err
	}
	if only {
		fmt.Fprintln(k.screen.out, link)
		return nil
	}
	began := time.Now().Add(-time.Second)
	k.screen.say("open this link in your browser, within ten minutes; the gateway has to run:")
	fmt.Fprintln(k.screen.out, link)
	if as == "" {
		as = anyone
	}
	return k.awaitLogin(ctx, name, as, began)
}

const (
	// loginTime is how long a link is good for, and a login may take.
	loginTime = 20 * time.Minute
	loginPoll = time.Second
)

func (k *kept) awaitLogin(ctx context.Context, server, as string, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	tick := time.NewTicker(loginPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return exit(exitFailure, errors.New("nobody has logged in; begin again"))
			}
			return ctx.Err()
		}
		all, err := credential.List(ctx, k.Store, as)
		if err != nil {
			return err
		}
		for _, c := range all {
			if c.Server == server && c.Updated.After(began) {
				k.screen.say("%s is logged in at %s", oneLine(as), server)
				return nil
			}
		}
	}
}

func newLogins() *cobra.Command {
	as := ""
	k := &keeper{}
	cmd := k.formatted(k.command("logins", "List the accounts that callers have connected", `List the accounts that callers have connected at servers whose auth is oauth.
What is kept of them is encrypted, and is not shown.`, 0, func(ctx context.Context, k *kept) error {
		return k.logins(ctx, as)
	}))
	cmd.GroupID = groupSet
	cmd.Flags().StringVar(&as, "as", "", "only those of `CALLER`")
	return cmd
}

func (k *kept) logins(ctx context.Context, as string) error {
	all, err := credential.List(ctx, k.Store, as)
	if err != nil {
		return err
	}
	if k.json {
		list := []map[string]any{}
		for _, c := range all {
			list = append(list, map[string]any{
				"caller": c.Principal, "server": c.Server, "address": c.Address, "updated": stamp(c.Updated), "expires": stamp(c.Expires),
			})
		}
		return printJSON(k.screen, map[string]any{"logins": list})
	}
	list := &table{head: []string{"CALLER", "SERVER", "ADDRESS", "RENEWED", "ENDS"}}
	for _, c := range all {
		list.add(oneLine(c.Principal), c.Server, oneLine(c.Address), when(c.Updated, ""), when(c.Expires, "when it is taken back"))
	}
	list.write(k.screen.out, k.screen)
	return nil
}

func newLogout() *cobra.Command {
	as, everybody := "", false
	k := &keeper{}
	cmd := k.command("logout SERVER", "Forget an account that a caller has connected", `Forget the account that a caller has connected at a server. Gateways that run
stop using it within 5 seconds; what was encrypted stays unreadable. Then the
server's authorization server is asked to take it back (RFC 7009). If it does
not, that is said, and the account is forgotten even so: take the access back
there.`, 1, func(ctx context.Context, k *kept) error {
		return k.logout(ctx, as, everybody)
	})
	cmd.GroupID = groupSet
	cmd.Flags().StringVar(&as, "as", "", "`CALLER` whose account is forgotten")
	cmd.Flags().BoolVar(&everybody, "all", false, "forget those of all callers")
	return cmd
}

func (k *kept) logout(ctx context.Context, as string, everybody bool) error {
	if (as == "") != everybody {
		return exit(exitUsage, errors.New("whose account is forgotten? Write --as CALLER, or --all"))
	}
	ended, err := k.end(ctx, as)
	k.untold(ended)
	switch {
	case err != nil:
		return err
	case len(ended) == 0:
		return fmt.Errorf("nobody so is logged in at %s; dragoman logins lists who is: %w", k.args[0], store.ErrNotFound)
	}
	k.screen.say("%s forgotten", count(len(ended), "login"))
	return nil
}

// untold says of logins that have ended which are still good at their authorization
// servers.
func (k *kept) untold(ended []credential.Ended) {
	for _, e := range ended {
		if e.Fault != nil {
			k.screen.say("%s at %s: the authorization server was not told, take the access back there: %s", oneLine(e.Principal), oneLine(e.Server), oneLine(e.Fault.Error()))
		}
	}
}

// end ends logins. Where they cannot be read, for want of the keys, they are removed
// and nobody is told.
func (k *kept) end(ctx context.Context, as string) (ended []credential.Ended, err error) {
	opened := k.withApp(ctx, func(a *app.App) error {
		ended, err = a.LogOut(ctx, k.cfg, k.args[0], as)
		return err
	})
	if opened == nil || len(ended) > 0 {
		return ended, err
	}
	all, err := k.loginsOf(ctx, as, k.args[0], opened)
	if err != nil {
		return nil, err
	}
	_, err = credential.Remove(ctx, k.Store, as, k.args[0])
	return all, err
}

// erase forgets all that is kept for a principal, likewise.
func (k *kept) erase(ctx context.Context, principal string) (ended []credential.Ended, err error) {
	all, err := k.loginsOf(ctx, principal, "", nil)
	if err != nil || len(all) == 0 {
		return nil, errors.Join(err, credential.Erase(ctx, k.Store, principal))
	}
	opened := k.withApp(ctx, func(a *app.App) error {
		ended, err = a.Erase(ctx, k.cfg, principal)
		return err
	})
	if opened == nil {
		return ended, nil
	}
	for i := range all {
		all[i].Fault = opened
	}
	return all, credential.Erase(ctx, k.Store, principal)
}

// withApp does something with an App by whose means authorization servers are reached;
// it has no servers of its own.
func (k *kept) withApp(ctx context.Context, do func(*app.App) error) error {
	alone := modest(k.cfg)
	alone.Servers, alone.Views = nil, nil
	a, err := app.Open(alone, appOptions(nil))
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		defer cancel()
		_ = a.Close(closing)
	}()
	return do(a)
}

// loginsOf are the logins of a principal at a server, with empty ones of all and at
// all, as they are when they end and nobody is told because of a fault.
func (k *kept) loginsOf(ctx context.Context, principal, server string, fault error) ([]credential.Ended, error) {
	all, err := credential.List(ctx, k.Store, principal)
	var logins []credential.Ended
	for _, c := range all {
		if server == "" || c.Server == server {
			logins = append(logins, credential.Ended{Principal: c.Principal, Server: c.Server, Fault: fault})
		}
	}
	return logins, err
}
