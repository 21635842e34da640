package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dragoman-mcp/dragoman/test/bench/company"
)

// guards is what is around a gateway that asks who calls, decides, counts and records.
type guards struct {
	company *company.Company
	dir     string // of its policies, state and audit log
}

// guard opens an identity provider for the gateway that is about to be started, and returns its users' tokens.
func (s *stage) guard() (tokens []string, err error) {
	g := &guards{}
	if g.dir, err = os.MkdirTemp(s.bench.dir, s.topology.name+"-"); err != nil {
		return nil, err
	}
	if g.company, err = company.Open(s.bench.settings.sign); err != nil {
		return nil, err
	}
	s.guards = g
	return g.company.Tokens()
}

func (g *guards) configure() (string, error) { return g.company.Configure(g.dir) }

// others are the servers besides the one that is called; they lead to the same upstream.
func (g *guards) others(addr string) string {
	var b strings.Builder
	for n := range company.Others {
		fmt.Fprintf(&b, "  %s: {url: http://%s/mcp}\n", company.Server(n+1), addr)
	}
	return b.String()
}

func (g *guards) close() error { return g.company.Close() }

// recorded is how many bytes the audit log has.
func (g *guards) recorded() (bytes int64) {
	segments, _ := filepath.Glob(filepath.Join(g.dir, "audit", "*.jsonl")) // the pattern is right
	for _, name := range segments {
		if info, err := os.Stat(name); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}
