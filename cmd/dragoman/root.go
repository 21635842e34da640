package main

import (
	"github.com/spf13/cobra"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "dragoman",
		Short: "All your MCP servers behind one endpoint, in every revision of the protocol",
		Long: `Dragoman is an MCP gateway. It makes all MCP servers of a person, a team or a
company one server, and interprets between clients and servers of different
revisions and transports.

First steps:
  dragoman serve                      start with a built-in server and no configuration
  dragoman call time.now              call a tool without starting anything
  dragoman import --all               take over the servers of the clients on this machine`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       buildVersion(),
	}
	root.SetVersionTemplate("dragoman {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit(exitUsage, usageError(cmd, err))
	})
	root.AddCommand(newServe(), newStdio(), newCheck())
	return root
}
