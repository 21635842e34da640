package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/mcp"
)

func newVersion() *cobra.Command {
	form := ""
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Say which version this is",
		GroupID: groupMore,
		Args:    nothingMore,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("-o", form, formText, formJSON); err != nil {
				return err
			}
			if form == formText {
				fmt.Fprintln(cmd.OutOrStdout(), "dragoman", buildVersion())
				return nil
			}
			return printJSON(newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr()), map[string]any{
				"version": buildVersion(), "commit": commit(), "go": runtime.Version(),
				"platform": runtime.GOOS + "/" + runtime.GOARCH, "protocol_revisions": mcp.Revisions(),
			})
		},
	}
	cmd.Flags().StringVarP(&form, "output", "o", formText, "`FORM`: text or json")
	return cmd
}

// commit is that of the source tree, where the build recorded it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
