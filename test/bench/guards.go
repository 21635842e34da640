package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/dragoman-mcp/dragoman/test/bench/company"
	"github.com/dragoman-mcp/dragoman/test/bench/rawjson"
)

// guards is what is around a gateway that asks who calls, decides, counts and records.
type guards struct {
	company *company.Company
	dir     string // of its policies, state and audit log
	reads   []string
}

// guard opens an identity provider for the gateway that is about to be started, and returns its users' tokens.
func (s *stage) guard() (tokens []string, err error) {
	g := &guards{}
	if s.topology.reads {
		g.reads = []string{"up.echo"}
	}
	if g.dir, err = os.MkdirTemp(s.bench.dir, s.topology.name+"-"); err != nil {
		return nil, err
	}
	if g.company, err = company.Open(s.bench.settings.sign); err != nil {
		return nil, err
	}
	s.guards = g
	return g.company.Tokens()
}

func (g *guards) configure() (string, error) { return g.company.Configure(g.dir, g.reads...) }

// others are the servers besides the one that is called; they lead to the same upstream.
func (g *guards) others(addr string) string {
	var b strings.Builder
	for n := range company.Others {
		fmt.Fprintf(&b, "  %s: {url: http://%s/mcp}\n", company.Server(n+1), addr)
	}
	return b.String()
}

func (g *guards) close() error { return g.company.Close() }

// ledger is what an audit log has: records, and flushes to the disk that they shared.
type ledger struct {
	records, flushes uint64
	calls            uint64 // outcomes, and reads
	batch            []byte // of the last record
}

// read counts what is in the segments of a log. A record names the first one that was not on disk when it was made, another one after
// each flush.
func (l *ledger) read(dir string) error {
	segments, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return err
	}
	for _, name := range segments {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			l.count(lines.Bytes())
		}
		if err := errors.Join(lines.Err(), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) count(line []byte) {
	if _, ok := rawjson.Get(line, "seq"); !ok {
		return // a segment's first line
	}
	l.records++
	if batch, _ := rawjson.Get(line, "batch"); !bytes.Equal(l.batch, batch) {
		l.flushes++
		l.batch = append(l.batch[:0], batch...)
	}
	switch kind, _ := rawjson.Get(line, "kind"); string(kind) {
	case `"outcome"`, `"call"`:
		l.calls++
	}
}

// settle ends a gateway that records calls, twice: as an operator would, to have its audit log verified by its own command, and
// killed under load, to see whether anything is lost that was acknowledged.
func (s *stage) settle(ctx context.Context) error {
	if s.gateway == nil {
		return nil // a bare proxy stands in
	}
	dir := filepath.Join(s.guards.dir, "audit")
	if !s.topology.reads {
		if err := s.kill(ctx); err != nil {
			return err
		}
		if err := s.again(ctx); err != nil {
			return err
		}
	}
	if s.gateway.Stop(stopGrace) {
		s.bench.remark("%s: the gateway did not end within %v of SIGTERM and was killed", s.topology.name, stopGrace)
	}
	s.gateway = nil
	var l ledger
	if err := l.read(dir); err != nil {
		return err
	}
	verify := exec.CommandContext(ctx, s.bench.gateway, "audit", "verify", "--checkpoints", filepath.Join(dir, "checkpoints"), dir)
	if out, err := verify.CombinedOutput(); err != nil {
		return fmt.Errorf("the audit log is not whole: %w\n%s", err, out)
	}
	s.bench.remark("%s: the audit log has %d calls in %d records, %.1f of them per flush to the disk; it is whole", s.topology.name, l.calls,
		l.records, float64(l.records)/float64(max(l.flushes, 1)))
	return nil
}
