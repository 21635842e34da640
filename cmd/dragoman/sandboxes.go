package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

// sandboxSubject is what the line about the system's sandboxes begins with.
const sandboxSubject = "sandbox"

// started are the servers that are programs, by name.
func started(cfg *config.Config) []config.Server {
	var programs []config.Server
	for _, name := range slices.Sorted(maps.Keys(cfg.Servers)) {
		if s := cfg.Servers[name]; !s.Disabled && len(s.Argv()) > 0 {
			programs = append(programs, s)
		}
	}
	return programs
}

// sandboxes tells what this system gives to programs and which servers want more.
// There is nothing to tell when no server is a program.
func sandboxes(ctx context.Context, a *app.App, cfg *config.Config) []finding {
	programs := started(cfg)
	if len(programs) == 0 {
		return nil
	}
	have := a.Sandboxes(ctx)
	detail := "levels up to " + have.Level.String() + " of 3"
	if have.Missing != "" {
		detail += " (" + have.Missing + ")"
	}
	if have.Landlock > 0 {
		detail += fmt.Sprintf(", Landlock %d", have.Landlock)
	}
	if have.Bounded {
		detail += ", " + have.Groups
	}
	out := []finding{{Status: passed, Kind: "machine", Subject: sandboxSubject, Detail: detail}}
	for _, s := range programs {
		f := finding{Status: warned, Kind: "machine", Subject: s.Name}
		switch {
		case s.Sandbox.MinLevel > int(have.Level):
			f.Status = failed
			f.Detail = fmt.Sprintf("demands sandbox level %d, and this system gives %s", s.Sandbox.MinLevel, have.Level)
			f.Remedy = "give the gateway what is missing (docs/sandbox.md), or lower sandbox.min_level"
		case s.Sandbox.Level > int(have.Level):
			f.Detail = fmt.Sprintf("wants sandbox level %d, and gets %s", s.Sandbox.Level, have.Level)
		case !have.Bounded && (s.CPUQuota > 0 || s.Sandbox.Processes > 0):
			f.Detail = "cpu_quota and sandbox.processes are not enforced: " + have.Groups
			f.Remedy = "delegate a control group to the gateway (docs/sandbox.md)"
		default:
			continue
		}
		out = append(out, f)
	}
	return out
}
