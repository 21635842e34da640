package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/proc"
	"github.com/dragoman-mcp/dragoman/test/program"
)

// standIn is the value of -gateway that puts a second bare proxy in the gateway's place.
const standIn = "bare"

// bench is one run of the program.
type bench struct {
	settings settings
	self     string // this program
	gateway  string // the gateway's binary, or standIn
	dir      string // for configurations and logs; removed at the end
	progress io.Writer
	samples  []sample
	faults   []string // wrong answers and broken connections
	remarks  []string
}

// sample is one figure of one peer in one round.
type sample struct {
	Round    int     `json:"round"`
	Scenario string  `json:"scenario"`
	Peer     string  `json:"peer"`
	Metric   metric  `json:"metric"`
	Value    float64 `json:"value"`
}

func newBench(ctx context.Context, s settings, progress io.Writer) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if _, err := proc.CPU(os.Getpid()); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "dragoman-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{settings: s, self: self, gateway: s.gateway, dir: dir, progress: progress}
	if s.gateway != "" {
		return b, nil
	}
	var flags []string
	if s.race {
		flags = append(flags, "-race")
	}
	if b.gateway, err = program.Build(ctx, dir, flags...); err != nil {
		b.close()
		return nil, fmt.Errorf("%w\ngive a binary with -gateway PATH, or -gateway bare for the method alone", err)
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// remark keeps something that a reader of the figures should know.
func (b *bench) remark(format string, args ...any) {
	b.remarks = append(b.remarks, fmt.Sprintf(format, args...))
}

// fault keeps something that makes the run fail.
func (b *bench) fault(format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// all measures what was asked for and prints it.
func (b *bench) all(ctx context.Context, stdout io.Writer) error {
	chosen, err := selected(b.settings.scenarios)
	if err != nil {
		return err
	}
	if b.settings.quick {
		chosen = dropHeld(chosen, 1000)
	}
	begin := time.Now()
	var checked *leakReport
	if wantsLeak(b.settings.scenarios) {
		if checked, err = b.leak(ctx); err != nil {
			return err
		}
	}
	for round := range b.settings.rounds {
		if len(chosen) == 0 {
			break
		}
		if err := b.round(ctx, round, chosen); err != nil {
			return err
		}
	}
	r := b.report(chosen)
	r.Seconds, r.Leak = time.Since(begin).Seconds(), checked
	return b.print(r, stdout)
}

// dropHeld leaves out scenarios that hold more than most streams.
func dropHeld(chosen []scenario, most int) []scenario {
	var kept []scenario
	for _, s := range chosen {
		if s.held <= most {
			kept = append(kept, s)
		}
	}
	return kept
}

// round measures every scenario once. Each topology is started afresh in every round, so that no round profits from another's
// warm caches and each start is a sample.
func (b *bench) round(ctx context.Context, round int, chosen []scenario) error {
	for _, t := range topologies() {
		var own []scenario
		held := false
		for _, s := range chosen {
			switch {
			case s.topology != t.name:
			case s.held > 0:
				held = true
			default:
				own = append(own, s)
			}
		}
		if err := b.stageRound(ctx, round, t, own); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		// Memory does not depend on what else the machine does, so two rounds are enough for it.
		if held && round < 2 {
			if err := b.heldRound(ctx, round, t, chosen); err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
		}
	}
	b.say("round %d of %d done", round+1, b.settings.rounds)
	return nil
}
