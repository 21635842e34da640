package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

const rootLong = `Dragoman is an MCP gateway. It makes all MCP servers of a person, a team or a
company one server, and interprets between clients and servers of different
revisions and transports.`

const rootExamples = `  dragoman serve            start with two built-in servers and no configuration
  dragoman call time.now    call a tool without starting anything
  dragoman import --all     take over the servers of the clients on this machine`

// The groups of commands in the help.
const (
	groupRun  = "run"
	groupUse  = "use"
	groupSet  = "set"
	groupMore = "more"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "dragoman",
		Short:         "All your MCP servers behind one endpoint, in every revision of the protocol",
		Long:          rootLong,
		Example:       rootExamples,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       buildVersion(),
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("dragoman {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
			return noSuchCommand(cmd, words) // the flag is that of a command that there is not
		}
		return exit(exitUsage, usageError(cmd, err))
	})
	root.SetUsageFunc(usage)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run the gateway:"},
		&cobra.Group{ID: groupUse, Title: "Use servers from here:"},
		&cobra.Group{ID: groupSet, Title: "Set it up:"},
		&cobra.Group{ID: groupMore, Title: "More:"},
	)
	root.SetHelpCommandGroupID(groupMore)
	root.SetCompletionCommandGroupID(groupMore)
	root.AddCommand(newServe(), newStdio(), newReload(), newCall(), newList(), newServer(),
		newImport(), newCheck(), newDoctor(), newConfig(), newUser(), newToken(), newVersion())
	root.AddCommand(newAudit(), newSecrets())
	root.AddCommand(newLogin(), newLogins(), newLogout())
	root.AddCommand(newPolicy(), newTools(), newSelftest())
	root.AddCommand(topics()...)
	return root
}

// noSuchCommand refuses what is no command, and guesses which was meant.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("%q is no command of %s", args[0], cmd.CommandPath())
	var names []string
	for _, c := range cmd.Commands() {
		names = append(append(names, c.Name()), c.Aliases...)
	}
	own := ""
	switch {
	case !cmd.HasParent():
		own = ownWord(args[0])
	case cmd.Name() == "tools" && args[0] == "list":
		own = "list tools"
	}
	if own != "" {
		err = fmt.Errorf("%w; here that is dragoman %s", err, own)
	} else if guess := strict.Suggest(args[0], names); guess != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, guess)
	}
	return exit(exitUsage, usageError(cmd, err))
}

// ownWord is the command for what other gateways, inspectors and process managers
// call word; empty when nothing is known of it.
func ownWord(word string) string {
	switch word {
	case "start", "run", "up", "gateway":
		return "serve"
	case "proxy", "bridge", "connect":
		return "stdio"
	case "status", "ps", "servers":
		return "list servers"
	case "tool", "inspect", "mcp":
		return "list tools"
	case "test", "health", "ping":
		return "doctor"
	case "add", "init", "setup", "install":
		return "import, or a text editor: servers are in dragoman.yaml"
	case "stop", "down":
		return "serve, ended with Ctrl-C or SIGTERM"
	case "logs":
		return "serve, which logs to standard error"
	}
	return ""
}

// nothingMore is for commands that take flags only.
func nothingMore(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit(exitUsage, usageError(cmd, fmt.Errorf("%q is one word too many", args[0])))
	}
	return nil
}

func usageError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w\nRun '%s --help' for usage", err, cmd.CommandPath())
}

// oneOf refuses a value of a flag that is not among those that there are.
func oneOf(flag, value string, allowed ...string) error {
	for _, word := range allowed {
		if value == word {
			return nil
		}
	}
	return exit(exitUsage, errors.New(flag+" "+value+" is none of "+strings.Join(allowed, ", ")))
}
