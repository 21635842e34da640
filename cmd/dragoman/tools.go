package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/policy/pin"
)

const toolsLong = `Look at definitions that wait for approval, and decide about them: tools,
prompts and templates of a server, its instructions, and how it is started. With
access.pinning they are not used before somebody has approved them (strict), or
once they have changed (first_sight).

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
	cmd.AddCommand(newToolsDiff(),
		decision("approve SERVER [NAME...]", "Use definitions from now on", `Use the definitions that wait under these names from now on. Without names it is
everything of the server that waits, its instructions and its start included.`, "approved",
			func(ctx context.Context, b *pin.Book, args []string, by string) ([]string, error) {
				return b.Approve(ctx, args[0], args[1:], by)
			}),
		decision("reject SERVER NAME...", "Do not use definitions, and hear no more of them", `Do not use the definitions that wait under these names. They are not shown as
waiting any more; what was approved before under the same name is not used
either as long as the server gives another definition.`, "rejected",
			func(ctx context.Context, b *pin.Book, args []string, by string) ([]string, error) {
				if len(args) < 2 {
					return nil, exit(exitUsage, errors.New("say what to reject: dragoman tools diff shows what waits"))
				}
				return b.Reject(ctx, args[0], args[1:], by)
			}),
	)
	return cmd
}

func (k *kept) book() *pin.Book {
	return pin.New(pin.Options{Mode: k.cfg.Access.Pinning, Store: k.Pins})
}

// decision is a command that decides about what waits.
func decision(use, short, long, done string, do func(context.Context, *pin.Book, []string, string) ([]string, error)) *cobra.Command {
	k := &keeper{}
	cmd := k.command(use, short, long, 0, func(ctx context.Context, k *kept) error {
		by := "the command line"
		if u, err := user.Current(); err == nil {
			by = u.Username + " at the command line"
		}
		names, err := do(ctx, k.book(), k.args, by)
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
		return k.differences(changes)
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
