package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/policy/pin"
)

const toolsLong = `Look at definitions that wait for approval, and decide about them: tools,
prompts and templates of a server, its instructions, how it is started (launch),
and the package that npx and its like fetch for it (package). With
access.pinning they are not used before somebody has approved them (strict), or
once they have changed (first_sight).

A server of which the launch or the package waits is not started. Once they are
approved, a gateway that runs starts it and looks at what it offers, which waits
then (strict).

These commands work on the state that the configuration names, whether a gateway
runs or not. Gateways that run take decisions up within seconds.`

func newTools() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "tools",
		Short:   "Approve definitions of tools, or see what changed in them",
		Long:    toolsLong,
		GroupID: groupSet,
		Example: `  dragoman tools diff
  dragoman tools approve files read_file
  dragoman tools reject files "tool delete_everything"`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newToolsDiff(), newToolsApprove(),
		decision("reject SERVER NAME...", "Do not use definitions, and hear no more of them", `Do not use the definitions that wait under these names. They are not shown as
waiting any more; what was approved before under the same name is not used
either as long as the server gives another definition.`, "rejected",
			func(ctx context.Context, k *kept, by string) ([]string, error) {
				if len(k.args) < 2 {
					return nil, exit(exitUsage, errors.New("say what to reject: dragoman tools diff shows what waits"))
				}
				return k.book().Reject(ctx, k.args[0], k.args[1:], by)
			}),
	)
	return cmd
}

// newToolsApprove is the command that approves what waits, and, when asked to, what a server shows for the first time.
func newToolsApprove() *cobra.Command {
	unseen := false
	cmd := decision("approve SERVER [NAME...]", "Use definitions from now on", `Use the definitions that wait under these names from now on. Without names it is
everything of the server that waits, its instructions, its launch and its
package included. Another version of a package is used from the next start on.

With --unseen it is also what the server shows for the first time within the
next 15 minutes, without anybody having looked at it: one approval for a server
that you trust. What changes later waits all the same.`, "approved",
		func(ctx context.Context, k *kept, by string) ([]string, error) {
			if unseen {
				return k.approveUnseen(ctx, by)
			}
			return k.book().Approve(ctx, k.args[0], k.args[1:], by)
		})
	cmd.Flags().BoolVar(&unseen, "unseen", false, "approve what the server shows for the first time too, for 15 minutes")
	return cmd
}

func (k *kept) approveUnseen(ctx context.Context, by string) ([]string, error) {
	server := k.args[0]
	_, known := k.cfg.Servers[server]
	switch {
	case len(k.args) > 1:
		return nil, exit(exitUsage, errors.New("--unseen is for a whole server: leave the names out"))
	case !known:
		return nil, unknownServer(server, k.cfg.Source(), k.cfg)
	case k.cfg.Access.Pinning != "strict":
		return nil, exit(exitUsage, fmt.Errorf("--unseen is for access.pinning: strict; with %s nothing that is new waits for approval", k.cfg.Access.Pinning))
	}
	names, err := k.book().ApproveUnseen(ctx, server, by)
	return append(names, fmt.Sprintf("what it shows for the first time within %.0f minutes", pin.Unseen.Minutes())), err
}

func (k *kept) book() *pin.Book {
	return pin.New(pin.Options{Mode: k.cfg.Access.Pinning, Store: k.Pins})
}

// decision is a command that decides about what waits.
func decision(use, short, long, done string, do func(ctx context.Context, k *kept, by string) ([]string, error)) *cobra.Command {
	k := &keeper{}
	cmd := k.command(use, short, long, 0, func(ctx context.Context, k *kept) error {
		by := "the command line"
		if u, err := user.Current(); err == nil {
			by = u.Username + " at the command line"
		}
		names, err := do(ctx, k, by)
		if err != nil {
			return err
		}
		if _, known := k.cfg.Servers[k.args[0]]; len(names) == 0 && !known {
			return unknownServer(k.args[0], k.cfg.Source(), k.cfg)
		}
		if len(names) == 0 {
			k.screen.say("nothing of %s waits for a decision", k.args[0])
		}
		for _, name := range names {
			k.screen.say("%s %s: %s", k.args[0], harmless(name), done)
		}
		k.next(names, done)
		return nil
	})
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return exit(exitUsage, usageError(cmd, errors.New("name a server")))
		}
		return nil
	}
	return cmd
}

// next says what follows the approval of a start under strict pinning.
func (k *kept) next(names []string, done string) {
	if done == "approved" && k.cfg.Access.Pinning == "strict" && (slices.Contains(names, "launch") || slices.Contains(names, "package")) {
		k.screen.say("a gateway that runs starts %[1]s now and looks at what it offers; what waits then is shown by: dragoman tools diff %[1]s", k.args[0])
	}
}

func newToolsDiff() *cobra.Command {
	k, all := &keeper{}, false
	cmd := k.command("diff [SERVER]", "Show what waits for approval, beside what was approved", `Show the definitions that wait for approval, side by side with what was
approved. Characters that do not show are written as escapes.`, 0, func(ctx context.Context, k *kept) error {
		server := ""
		if len(k.args) > 0 {
			server = k.args[0]
		}
		changes, err := k.book().Changes(ctx, server, all)
		if err != nil {
			return err
		}
		if err := k.differences(changes); err != nil || k.json {
			return err
		}
		loose, err := k.book().Loose(ctx, server)
		for _, name := range slices.Sorted(maps.Keys(loose)) {
			k.screen.say("%s: its package is not pinned: %s", harmless(name), harmless(loose[name]))
		}
		return err
	})
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return exit(exitUsage, usageError(cmd, errors.New("one server at a time")))
		}
		return nil
	}
	cmd.Flags().BoolVar(&all, "rejected", false, "show what was rejected too")
	return k.formatted(cmd)
}

func (k *kept) differences(changes []pin.Change) error {
	out := k.screen.out
	if k.json {
		if changes == nil {
			changes = []pin.Change{}
		}
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(changes)
	}
	if len(changes) == 0 {
		k.screen.say("nothing waits for approval")
	}
	for _, c := range changes {
		name := c.Kind
		if c.Name != c.Kind {
			name += " " + c.Name
		}
		fmt.Fprintf(out, "%s %s: %s since %s\n", c.Server, paint(k.screen.colour, bold, harmless(name)), c.State, when(c.Since, "?"))
		if c.Hidden != "" {
			fmt.Fprintf(out, "  %s\n", paint(k.screen.colour, yellow, "nobody sees: "+c.Hidden))
		}
		for _, line := range c.Lines {
			fmt.Fprintf(out, "  %s\n", harmless(line.Path))
			sideBySide(out, line, k.screen.width)
		}
	}
	return nil
}

// sideBySide writes what was approved on the left and what is there now on the
// right, whole, in as many lines as it takes. All of it is ASCII.
func sideBySide(w io.Writer, line pin.Line, width int) {
	if width < 40 {
		width = 100
	}
	column := (width - 7) / 2
	was, now := []rune(harmless(line.Was)), []rune(harmless(line.Now))
	if len(was) == 0 {
		was = []rune("(not there)")
	}
	if len(now) == 0 {
		now = []rune("(not there)")
	}
	for len(was) > 0 || len(now) > 0 {
		left, right := was[:min(len(was), column)], now[:min(len(now), column)]
		was, now = was[len(left):], now[len(right):]
		pad := strings.Repeat(" ", column-len(left))
		fmt.Fprintln(w, strings.TrimRight("    "+string(left)+pad+" | "+string(right), " "))
	}
}
