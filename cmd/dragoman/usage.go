package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// usage writes what a command takes, in the width of the terminal.
func usage(cmd *cobra.Command) error {
	out := cmd.OutOrStderr()
	width := columns(out, isTerminal(out))
	if width == 0 {
		width = 80
	}
	if cmd.Runnable() || cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "Usage:\n  %s\n", useLine(cmd))
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(out, "\nAlso called: %s\n", strings.Join(cmd.Aliases, ", "))
	}
	if cmd.HasExample() {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	commands(out, cmd)
	if flags := cmd.LocalFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(out, "\nFlags:\n%s", flags.FlagUsagesWrapped(width))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\n\"%s COMMAND --help\" tells more about a command.\n", cmd.CommandPath())
	}
	return nil
}

func useLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.UseLine()
}

// commands lists what is below a command, by group, and then the topics.
func commands(out io.Writer, cmd *cobra.Command) {
	widest := 0
	for _, c := range cmd.Commands() {
		widest = max(widest, len(c.Name()))
	}
	section := func(title string, in func(*cobra.Command) bool) {
		begun := false
		for _, c := range cmd.Commands() {
			if !in(c) {
				continue
			}
			if !begun {
				fmt.Fprintf(out, "\n%s\n", title)
				begun = true
			}
			fmt.Fprintf(out, "  %-*s  %s\n", widest, c.Name(), c.Short)
		}
	}
	for _, g := range cmd.Groups() {
		section(g.Title, func(c *cobra.Command) bool { return c.GroupID == g.ID && c.IsAvailableCommand() })
	}
	section("Commands:", func(c *cobra.Command) bool { return c.GroupID == "" && c.IsAvailableCommand() })
	section("To read, with dragoman help:", func(c *cobra.Command) bool { return c.IsAdditionalHelpTopicCommand() })
}
