package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/backend"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "policy",
		Short:   "See who may do what",
		Long:    "See who may do what, by the roles and by the policies of the configuration\n(access.policies).",
		GroupID: groupSet,
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyCheck(), newPolicyDiff(), newPolicyCompare())
	return cmd
}

const policyCheckLong = `Decide whether somebody may do something, and say which rule decided: the same
decision that the gateway makes. Nothing is called.

METHOD is one of the protocol (tools/call, prompts/get, resources/read, ...) and
NAME what it is about, as SERVER__TOOL, or SERVER__URI for a resource. Or METHOD
is an action of the schema of policies, and NAME is KIND/NAME: manage
Platform/users. ARGUMENTS are those of the call, as one JSON object.

With --seen the conversation has read of those servers, which flows and policies
that look at context.seen may mind.

Roles are those of --role; else those of the token or the local user that --as
names; else access.default_roles. Exits with 0 when it is allowed and with 1
when it is refused, or left to the user.`

// policyCheck is the command policy check.
type policyCheck struct {
	source
	as, address, at, form  string
	roles, groups, servers []string
	seen                   []string
}

func newPolicyCheck() *cobra.Command {
	c := &policyCheck{}
	cmd := &cobra.Command{
		Use:   "check --as NAME METHOD NAME [ARGUMENTS]",
		Short: "Decide whether somebody may do something, and say which rule decided",
		Long:  policyCheckLong,
		Example: `  dragoman policy check --as ann tools/call files__read_file '{"path":"/etc/x"}'
  dragoman policy check --seen web tools/call mail__send '{"to":"x"}'
  dragoman policy check --as corp:7 --role admin manage Platform/users`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return exit(exitUsage, usageError(cmd, errors.New("want METHOD, NAME and perhaps ARGUMENTS")))
			}
			return nil
		},
		RunE: c.run,
	}
	c.source.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.as, "as", "", "`NAME` of who calls: a token, a local user, or the id of any principal; nobody in particular by default")
	f.StringSliceVar(&c.roles, "role", nil, "`ROLE` of who calls; may be given again")
	f.StringSliceVar(&c.groups, "group", nil, "`GROUP` of who calls; may be given again")
	f.StringSliceVar(&c.servers, "server", nil, "`SERVER` that the credential is bound to; may be given again")
	f.StringVar(&c.address, "address", "", "`IP` address that the call comes from")
	f.StringSliceVar(&c.seen, "seen", nil, "`SERVER` of which the caller's conversation has read, or SERVER__TOOL; may be given again")
	f.StringVar(&c.at, "at", "", "`TIME` of the call, as 2026-12-31T08:00:00Z; now by default")
	f.StringVarP(&c.form, "output", "o", formText, "`FORM`: text or json")
	return cmd
}

func (c *policyCheck) run(cmd *cobra.Command, args []string) error {
	if err := oneOf("-o", c.form, formText, formJSON); err != nil {
		return err
	}
	cfg, _, err := c.load()
	if err != nil {
		return err
	}
	q, err := c.question(cmd.Context(), cfg, args)
	if err != nil {
		return err
	}
	now := time.Now()
	if c.at != "" {
		if now, err = time.Parse(time.RFC3339, c.at); err != nil {
			return exit(exitUsage, fmt.Errorf("--at: %q is no time: write it like 2026-12-31T08:00:00Z", c.at))
		}
	}
	p, err := policy.New(cfg, policy.Deps{Now: func() time.Time { return now }})
	if err != nil {
		return exit(exitConfig, err)
	}
	d := p.Decide(cmd.Context(), q)
	if err := c.show(cmd, q, d); err != nil || d.Allow {
		return err
	}
	return &exitError{code: exitFailure}
}

// show prints the decision.
func (c *policyCheck) show(cmd *cobra.Command, q policy.Question, d policy.Decision) error {
	out := cmd.OutOrStdout()
	if c.form == formJSON {
		return json.NewEncoder(out).Encode(map[string]any{"allow": d.Allow, "approval": d.Approval, "rule": d.Rule, "reasons": d.Reasons, "principal": q.Principal.ID, "roles": q.Principal.Roles})
	}
	word := "refused"
	if d.Allow {
		word = "allowed"
	}
	if d.Approval == policy.ApprovalWanted {
		word = "left to the user's approval"
	}
	fmt.Fprintf(out, "%s by %s\n", word, harmless(d.Rule))
	for _, reason := range d.Reasons {
		fmt.Fprintf(out, "  %s\n", harmless(reason))
	}
	return nil
}

func (c *policyCheck) question(ctx context.Context, cfg *config.Config, args []string) (policy.Question, error) {
	var arguments jsonrpc.Object
	if len(args) == 3 {
		var err error
		if arguments, err = jsonrpc.ParseObject([]byte(args[2]), jsonrpc.Limits{MaxDepth: cfg.Limits.Depth}); err != nil {
			return policy.Question{}, exit(exitUsage, fmt.Errorf("the arguments have to be one JSON object: %w", err))
		}
	}
	server, name := "", args[1]
	if strings.Contains(args[0], "/") {
		var ok bool
		if server, name, ok = strings.Cut(args[1], cfg.Names.Separator); !ok {
			return policy.Question{}, exit(exitUsage, fmt.Errorf("%q does not say of which server it is: write it like files%sread_file", args[1], cfg.Names.Separator))
		}
		if _, ok := cfg.Servers[server]; !ok {
			return policy.Question{}, exit(exitNotFound, fmt.Errorf("there is no server %q: the servers are %s", server, strings.Join(slices.Sorted(maps.Keys(cfg.Servers)), ", ")))
		}
	}
	q, err := policy.Ask(args[0], server, name, arguments)
	if err != nil {
		return q, exit(exitUsage, err)
	}
	if c.address != "" {
		if q.Address, err = netip.ParseAddr(c.address); err != nil {
			return q, exit(exitUsage, fmt.Errorf("--address: %w", err))
		}
	}
	if q.Seen, err = c.read(cfg); err != nil {
		return q, err
	}
	q.Revision, q.Explain = mcp.Revision20260728, true
	q.Principal, err = c.principal(ctx, cfg)
	return q, err
}

// read is what --seen names.
func (c *policyCheck) read(cfg *config.Config) ([]flow.Source, error) {
	var out []flow.Source
	for _, text := range c.seen {
		server, name, _ := strings.Cut(text, cfg.Names.Separator)
		if _, ok := cfg.Servers[server]; !ok {
			return nil, exit(exitNotFound, fmt.Errorf("--seen: there is no server %q: the servers are %s", server, strings.Join(slices.Sorted(maps.Keys(cfg.Servers)), ", ")))
		}
		out = append(out, flow.Source{Server: server, Name: name})
	}
	return out, nil
}

// principal is who --as names.
func (c *policyCheck) principal(ctx context.Context, cfg *config.Config) (mcp.Principal, error) {
	p := mcp.Principal{ID: c.as, Roles: c.roles, Groups: c.groups, Servers: c.servers}
	for _, t := range cfg.Auth.Tokens {
		if t.Name == c.as {
			p.Method = "token"
			if len(c.roles) == 0 {
				p.Roles = t.Roles
			}
			return p, nil
		}
	}
	name := strings.TrimPrefix(c.as, "user:")
	if !cfg.Auth.Passwords.Enabled && !cfg.Auth.Server.Enabled || name == "" {
		return p, nil
	}
	s, err := backend.Open(ctx, cfg.State)
	if err != nil {
		return p, exit(exitUnreachable, err)
	}
	defer s.Close()
	u, err := s.Users.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.ID, p.Name, p.Method = "user:"+u.Name, u.Name, "password"
	if len(c.roles) == 0 {
		p.Roles = []string{u.Role}
	}
	return p, nil
}
