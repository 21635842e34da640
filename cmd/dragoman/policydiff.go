package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/survey"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const policyDiffLong = `Ask two sets of policies the same questions, and show where the answers differ:
what is newly permitted first, then what is newly refused. Nothing is called,
and nothing changes.

OLD and NEW are configurations, or files of policies (*.cedar), which stand in
the configuration of -c in place of its own. With NEW alone it is compared with
that configuration; with neither, its access.policies with its access.candidate.

The questions are made of everybody and everything that both name, and of values
on both sides of what policies compare with. With --audit the last calls in the
audit log are asked too, as they were made. It is a search and no proof: more
questions (-n) and another --seed find more.

Exits with 1 when --deny-new is given and something is newly permitted.`

// policyDiff is the command policy diff.
type policyDiff struct {
	source
	audit, form string
	questions   int
	seed        uint64
	denyNew     bool
}

func newPolicyDiff() *cobra.Command {
	c := &policyDiff{}
	cmd := &cobra.Command{
		Use:   "diff [OLD] [NEW]",
		Short: "Show what a change of policies would permit and refuse",
		Long:  policyDiffLong,
		Example: `  dragoman policy diff next.cedar
  dragoman policy diff --deny-new dragoman.yaml changed.yaml
  dragoman policy diff --audit /var/lib/dragoman/audit next.cedar`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 {
				return exit(exitUsage, usageError(cmd, errors.New("want OLD and NEW, NEW alone, or neither")))
			}
			return nil
		},
		RunE: c.run,
	}
	c.source.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.audit, "audit", "", "`DIR` of an audit log whose last calls (at most 10000 records) are asked too")
	f.IntVarP(&c.questions, "questions", "n", survey.DefaultQuestions, fmt.Sprintf("how many `QUESTIONS` are asked, at most %d", survey.MaxQuestions))
	f.Uint64Var(&c.seed, "seed", 1, "`SEED` of the questions: equal ones ask the same")
	f.BoolVar(&c.denyNew, "deny-new", false, "exit with 1 when something is newly permitted")
	f.StringVarP(&c.form, "output", "o", formText, "`FORM`: text or json")
	return cmd
}

func (c *policyDiff) run(cmd *cobra.Command, args []string) error {
	if err := oneOf("-o", c.form, formText, formJSON); err != nil {
		return err
	}
	if c.questions < 1 || c.questions > survey.MaxQuestions {
		return exit(exitUsage, fmt.Errorf("-n: %d is not from 1 to %d", c.questions, survey.MaxQuestions))
	}
	was, now, err := c.sides(args)
	if err != nil {
		return err
	}
	o := survey.Options{Questions: c.questions, Seed: c.seed, Now: time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)}
	if c.audit != "" {
		if o.Calls, err = auditedCalls(cmd.Context(), c.audit); err != nil {
			return err
		}
	}
	r, err := survey.Compare(cmd.Context(), was, now, o)
	if err != nil {
		return exit(exitConfig, err)
	}
	s := newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr())
	if c.form == formJSON {
		err = printJSON(s, r)
	} else {
		tellDifferences(s, r)
	}
	if err != nil || !c.denyNew || r.Permitted == 0 {
		return err
	}
	return exit(exitFailure, nil)
}

// sides are what is compared.
func (c *policyDiff) sides(args []string) (was, now *config.Config, err error) {
	var named string
	var base *config.Config
	if len(args) < 2 || cedarFile(args[0]) {
		if base, named, err = c.load(); err != nil {
			return nil, nil, err
		}
	}
	was = base
	if len(args) == 2 {
		if was, err = sideOf(args[0], base); err != nil {
			return nil, nil, err
		}
	}
	if len(args) == 0 {
		if len(base.Access.Candidate) == 0 {
			return nil, nil, exit(exitUsage, fmt.Errorf("%s has no access.candidate: name what to compare it with, as in: dragoman policy diff next.cedar", named))
		}
		changed := *base
		changed.Access.Policies = base.Access.Candidate
		now = &changed
	} else if now, err = sideOf(args[len(args)-1], was); err != nil {
		return nil, nil, err
	}
	before, after := *was, *now
	before.Access.Candidate, after.Access.Candidate = nil, nil
	before.Access.Expect = nil // what is to be so counts for what is to be
	return &before, &after, nil
}

func cedarFile(name string) bool { return filepath.Ext(name) == ".cedar" }

// sideOf is a configuration by its file; or base, with a file of policies.
func sideOf(name string, base *config.Config) (*config.Config, error) {
	if !cedarFile(name) {
		cfg, _, err := (&source{file: name}).load()
		return cfg, err
	}
	changed := *base
	changed.Access.Policies = []config.PolicySource{{File: name}}
	return &changed, nil
}

// maxAudited is how many records are read of an audit log.
const maxAudited = 10_000

// auditedCalls are the calls of the end of an audit log, each once. It has no roles: one that decided about a caller's
// calls is one of that caller's.
func auditedCalls(ctx context.Context, dir string) ([]survey.Call, error) {
	var calls []survey.Call
	seen := make(map[string]bool)
	roles := make(map[string][]string)
	err := audit.Tail(ctx, dir, maxAudited, false, func(line []byte) error {
		var r struct {
			Kind, Principal, Auth, Method, Server, Name, Rule string
			Time                                              time.Time
			Arguments                                         json.RawMessage
		}
		if json.Unmarshal(line, &r) != nil || r.Kind != "intent" && r.Kind != "call" && r.Kind != "refusal" || r.Server == "" || r.Method == "subscriptions/listen" {
			return nil
		}
		if role, ok := strings.CutPrefix(r.Rule, "role:"); ok && role != "owner" && !slices.Contains(roles[r.Principal], role) {
			roles[r.Principal] = append(roles[r.Principal], role)
		}
		key := strings.Join([]string{r.Principal, r.Method, r.Server, r.Name, string(r.Arguments)}, "\x00")
		if seen[key] {
			return nil
		}
		seen[key] = true
		call := survey.Call{Principal: mcp.Principal{ID: r.Principal, Method: r.Auth}, Method: r.Method, Server: r.Server, Name: r.Name, Time: r.Time}
		if given := bytes.Clone(r.Arguments); len(given) > 0 {
			call.Arguments, _ = jsonrpc.ParseObject(given, jsonrpc.Limits{}) // what is no object is none
		}
		calls = append(calls, call)
		return nil
	})
	if err != nil {
		return nil, exit(exitFailure, err)
	}
	if len(seen) == 0 {
		return nil, exit(exitNotFound, fmt.Errorf("%s has no calls on record: check the directory with dragoman audit tail", dir))
	}
	for i := range calls {
		calls[i].Principal.Roles = roles[calls[i].Principal.ID]
	}
	return calls, nil
}

// tellDifferences prints a survey for people.
func tellDifferences(s *screen, r *survey.Report) {
	for _, part := range []struct {
		permits      bool
		word, colour string
		n            int
	}{{true, "NEWLY PERMITTED", red, r.Permitted}, {false, "newly refused", yellow, r.Refused}} {
		if part.n == 0 {
			continue
		}
		fmt.Fprintln(s.out, paint(s.colour, part.colour, fmt.Sprintf("%s: %d of %d questions", part.word, part.n, r.Questions)))
		for _, g := range r.Groups {
			if g.Permits == part.permits {
				tellGroup(s, g)
			}
		}
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "asked: %s (seed %d)", count(r.Questions, "question"), r.Seed)
	if r.Calls > 0 {
		fmt.Fprintf(s.out, ", of which %d are calls of the audit log", r.Calls)
	}
	if same := r.Questions - r.Permitted - r.Refused; same == r.Questions {
		fmt.Fprintln(s.out, "; no difference was found")
	} else {
		fmt.Fprintf(s.out, "; answered as before: %d\n", same)
	}
	if len(r.Silent) > 0 {
		fmt.Fprintf(s.out, "new, and decided nothing that was asked: %s\n", enumerated(r.Silent, 5))
	}
}

func tellGroup(s *screen, g survey.Group) {
	before, after := "refused", "permitted"
	if !g.Permits {
		before, after = after, before
	}
	fmt.Fprintf(s.out, "  %s by %s, and %s before by %s\n", after, paint(s.colour, bold, harmless(ruleText(g.Would))), before, harmless(ruleText(g.Was)))
	fmt.Fprintf(s.out, "    who   %s\n", enumerated(g.Who, 6))
	fmt.Fprintf(s.out, "    what  %s\n", enumerated(callsFirst(g.What), 6))
	if g.Calls > 0 {
		fmt.Fprintf(s.out, "    real  %s of the audit log\n", count(g.Calls, "call"))
	}
	fmt.Fprintf(s.out, "    e.g.  %s\n", harmless(exampleText(g.Example)))
}

// ruleText is what decided, for people.
func ruleText(rule string) string {
	switch rule {
	case policy.RuleDefault:
		return "default (nothing permits it)"
	case policy.RuleOpen:
		return "open (everybody may do everything)"
	case survey.RuleNoToken:
		return "no token (nobody could come in as this)"
	}
	return rule
}

// callsFirst has calls of tools before what is rarer.
func callsFirst(what []string) []string {
	what = slices.Clone(what)
	slices.SortStableFunc(what, func(a, b string) int {
		first := map[bool]int{true: 0, false: 1}
		return first[strings.HasPrefix(a, "call_tool ")] - first[strings.HasPrefix(b, "call_tool ")]
	})
	return what
}

// exampleText is one question for people.
func exampleText(e survey.Example) string {
	who := e.Principal
	if who == "" {
		who = "nobody in particular"
	}
	for _, role := range e.Roles {
		who += ", role " + role
	}
	for _, group := range e.Groups {
		who += ", group " + group
	}
	what := string(e.Kind) + "/" + e.Name
	switch {
	case e.Kind == "Server":
		what = e.Server
	case e.Server != "":
		what = e.Server + "/" + e.Name
	}
	text := who + ": " + string(e.Action) + " " + what
	if len(e.Arguments) > 0 {
		text += " " + string(e.Arguments)
	}
	if e.Address != "" {
		text += " from " + e.Address
	}
	if len(e.Seen) > 0 {
		text += ", having read " + strings.Join(e.Seen, " and ")
	}
	if e.Time != nil {
		text += " at " + e.Time.Format(time.RFC3339)
	}
	return text
}

// enumerated names the first n, and how many more there are.
func enumerated(all []string, n int) string {
	text := strings.Join(all[:min(len(all), n)], ", ")
	if len(all) > n {
		text += fmt.Sprintf(" and %d more", len(all)-n)
	}
	return harmless(text)
}

const policyCompareLong = `Show what has come of the policies on trial (access.candidate) in a running
gateway: of the calls since it took them up, those that they would answer
otherwise than the policies in force, newly permitted ones first. The gateway is
the one at --url, or where the configuration says that it listens; it tells
those who may manage Platform/access, which an admin may.

Exits with 1 when --deny-new is given and something would be newly permitted.`

func newPolicyCompare() *cobra.Command {
	r := &reach{}
	form, denyNew := "", false
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Show what the policies on trial would have decided otherwise",
		Long:  policyCompareLong,
		Args:  nothingMore,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("-o", form, formText, formJSON); err != nil {
				return err
			}
			c, err := r.control(cmd)
			if err != nil {
				return err
			}
			defer c.close()
			ctx, cancel := r.within(cmd.Context())
			defer cancel()
			var got policy.Comparison
			if err := c.ask(ctx, "GET", "/policy/candidate", &got); err != nil {
				return err
			}
			s := newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr())
			if form == formJSON {
				err = printJSON(s, got)
			} else {
				tellComparison(s, &got)
			}
			permits := slices.ContainsFunc(got.Differences, func(d policy.Difference) bool { return d.Permits })
			if err != nil || !denyNew || !permits {
				return err
			}
			return exit(exitFailure, nil)
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&denyNew, "deny-new", false, "exit with 1 when something would be newly permitted")
	cmd.Flags().StringVarP(&form, "output", "o", formText, "`FORM`: text or json")
	return cmd
}

// tellComparison prints what has come of a trial for people.
func tellComparison(s *screen, c *policy.Comparison) {
	var total policy.Tally
	for _, t := range c.Servers {
		total.Asked, total.Permits, total.Refuses = total.Asked+t.Asked, total.Permits+t.Permits, total.Refuses+t.Refuses
	}
	for _, part := range []struct {
		permits      bool
		word, colour string
		n            uint64
	}{{true, "NEWLY PERMITTED", red, total.Permits}, {false, "newly refused", yellow, total.Refuses}} {
		if part.n == 0 {
			continue
		}
		fmt.Fprintln(s.out, paint(s.colour, part.colour, fmt.Sprintf("%s: %d of %d calls", part.word, part.n, total.Asked)))
		t := &table{head: []string{"CALLS", "WHO", "WHAT", "NOW", "CANDIDATE"}}
		for _, d := range c.Differences {
			if d.Permits == part.permits {
				e := survey.Example{Action: d.Action, Kind: d.Kind, Server: d.Server, Name: d.Name, Principal: d.Principal}
				_, what, _ := strings.Cut(exampleText(e), ": "+string(d.Action)+" ")
				t.add(fmt.Sprint(d.Calls), harmless(d.Principal), harmless(string(d.Action)+" "+what), harmless(d.Was), harmless(d.Would))
			}
		}
		t.write(s.out, s)
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "answered as before: %d of %d calls since %s\n", total.Asked-total.Permits-total.Refuses, total.Asked, c.Since.Format(time.RFC3339))
	if c.Untold > 0 {
		fmt.Fprintf(s.out, "%d differing calls are in none of the lines above: there were too many kinds\n", c.Untold)
	}
	for _, unmet := range c.Unmet {
		fmt.Fprintln(s.out, paint(s.colour, red, "not as expected: ")+harmless(unmet))
	}
}
