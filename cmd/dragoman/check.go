package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/internal/policy"
)

func newCheck() *cobra.Command {
	src := &source{}
	form := ""
	cmd := &cobra.Command{
		Use:     "check [FILE]",
		Aliases: []string{"validate"},
		Short:   "Check a configuration and report all its faults",
		Long: `Check a configuration: its form, that its references resolve, and that it makes
sense. Nothing is started; dragoman doctor does that. All faults are reported at
once, each with its place.`,
		GroupID: groupSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && src.file != "" {
				return exit(exitUsage, usageError(cmd, errors.New("one file at a time")))
			}
			if len(args) == 1 {
				src.file = args[0]
			}
			if err := oneOf("-o", form, formText, formJSON); err != nil {
				return err
			}
			return check(cmd, src, form)
		},
	}
	src.flags(cmd)
	cmd.Flags().StringVarP(&form, "output", "o", formText, "`FORM`: text or json")
	return cmd
}

func check(cmd *cobra.Command, src *source, form string) error {
	s := newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr())
	cfg, name, err := src.loadBy(config.Draft)
	switch {
	case err == nil:
		_, policies := policy.New(cfg, policy.Deps{})
		err = errors.Join(policies, builtinsExist(cfg))
	case cfg != nil:
		err = exit(exitConfig, withBuiltins(cfg, err))
		cfg = nil
	}
	if form == formJSON {
		return reportJSON(s, cfg, name, err)
	}
	if err != nil {
		return exit(exitConfig, err)
	}
	for _, w := range cfg.Warnings {
		s.say("warning: %s", w)
	}
	fmt.Fprintf(s.out, "%s is good: %s, %s\n", name, count(len(cfg.Servers), "server"), count(len(cfg.Views), "view"))
	return nil
}

// builtinsExist finds servers that name a built-in one that there is not, or give
// it settings that it does not take. It starts nothing: a server is opened by its
// first call only.
func builtinsExist(cfg *config.Config) error {
	faults, err := builtinFaults(cfg, cfg, nil)
	if err == nil {
		err = faults.Err()
	}
	if err != nil {
		return exit(exitConfig, err)
	}
	return nil
}

// withBuiltins adds to the faults of a draft those of its built-in servers, as far
// as the others let them be seen.
func withBuiltins(draft *config.Config, err error) error {
	var known strict.Faults
	around, parseErr := config.Parse(builtinName, nil, nil)
	if !errors.As(err, &known) || parseErr != nil {
		return err
	}
	more, openErr := builtinFaults(around, draft, known)
	if openErr != nil {
		return err
	}
	return append(slices.Clone(known), more...).Err()
}

// builtinFaults finds what is wrong with the built-in servers of cfg, in the
// surroundings of another configuration. Of what has known faults only the name is
// looked at.
func builtinFaults(around, cfg *config.Config, known strict.Faults) (strict.Faults, error) {
	alone := modest(around)
	alone.Servers, alone.Views = nil, nil
	a, err := app.Open(alone, appOptions(nil))
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close(context.Background()) }() // nothing was opened
	var faults strict.Faults
	for _, name := range slices.Sorted(maps.Keys(cfg.Servers)) {
		section := cfg.Servers[name]
		if section.Builtin == "" || section.Disabled {
			continue
		}
		if err := builtinFits(a, section, known); err != nil {
			problem := strings.TrimPrefix(err.Error(), "server "+name+": ")
			faults = append(faults, cfg.Fault("servers."+name+".builtin", problem, ""))
		}
	}
	return faults, nil
}

func builtinFits(a *app.App, section config.Server, known strict.Faults) error {
	here := "servers." + section.Name + "."
	touches := func(path string) bool {
		return slices.ContainsFunc(known, func(f strict.Fault) bool { return strings.HasPrefix(f.Path+".", path) })
	}
	switch {
	case touches(here + "builtin."):
		return nil // that is said already
	case !slices.Contains(builtin.Names(), section.Builtin):
		_, err := builtin.Open(section.Builtin, nil)
		return err
	case touches(here), touches("defaults."):
		return nil
	}
	d, err := a.Direct(section)
	if err != nil {
		return err
	}
	return d.Close(context.Background())
}

// leaves are the errors that are joined in one, each with what was said around it.
func leaves(err error) []error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		joined, ok := inner.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, leaves(one)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// reportJSON is what "check -o json" prints.
func reportJSON(s *screen, cfg *config.Config, name string, failed error) error {
	type fault struct {
		Place   string `json:"place"`
		Path    string `json:"path,omitempty"`
		Problem string `json:"problem"`
		Remedy  string `json:"remedy,omitempty"`
	}
	report := struct {
		File     string   `json:"file"`
		Good     bool     `json:"good"`
		Servers  int      `json:"servers"`
		Views    int      `json:"views"`
		Faults   []fault  `json:"faults"`
		Warnings []string `json:"warnings"`
	}{File: name, Good: failed == nil, Faults: []fault{}, Warnings: []string{}}
	if cfg != nil {
		report.Servers, report.Views = len(cfg.Servers), len(cfg.Views)
		report.Warnings = append(report.Warnings, cfg.Warnings...)
	}
	for _, err := range leaves(failed) {
		var faults strict.Faults
		var ofPolicy policy.Fault
		switch {
		case errors.As(err, &faults):
			for _, f := range faults {
				report.Faults = append(report.Faults, fault{f.Place.String(), f.Path, f.Problem, f.Remedy})
			}
		case errors.As(err, &ofPolicy):
			report.Faults = append(report.Faults, fault{Place: ofPolicy.Place, Problem: ofPolicy.Problem})
		default:
			report.Faults = append(report.Faults, fault{Place: name, Problem: err.Error()})
		}
	}
	if err := printJSON(s, report); err != nil {
		return err
	}
	if failed != nil {
		return exit(exitConfig, nil)
	}
	return nil
}
