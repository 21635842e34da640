package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
	"github.com/dragoman-mcp/dragoman/test/bench/proc"
	"github.com/dragoman-mcp/dragoman/test/bench/upstream"
)

// The peers that are measured side by side.
const (
	gatewayPeer = "gateway"
	barePeer    = "bare"
	directPeer  = "direct"
)

// peer is one of them, ready for load.
type peer struct {
	target load.Target
	pid    int
	start  time.Duration // exec to first right answer; 0 for direct
}

// stage is a topology with its processes running. Close it.
type stage struct {
	bench     *bench
	topology  topology
	processes []*proc.Process // the upstreams and the bare proxies
	gateway   *proc.Process   // nil while a bare proxy stands in, and when it has ended
	guards    *guards         // nil unless the gateway is guarded
	log       string          // of the gateway
	config    string          // its file
	peers     map[string]peer
	counters  map[string]string // peer → address of its upstream's counters
}

// bounds of waiting for processes.
const (
	startBound = 20 * time.Second
	stopGrace  = 5 * time.Second
)

// open starts everything and waits until each peer gives right answers.
func (b *bench) open(ctx context.Context, t topology) (*stage, error) {
	t.gateway.IDLast, t.bare.IDLast = b.settings.idLast, b.settings.idLast
	s := &stage{bench: b, topology: t, peers: map[string]peer{}, counters: map[string]string{}}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) start(ctx context.Context) error {
	behindBare, pid, err := s.startUpstream(ctx, s.topology.bare)
	if err != nil {
		return err
	}
	behindGateway := behindBare
	if s.topology.gateway != s.topology.bare && s.bench.gateway != standIn {
		if behindGateway, _, err = s.startUpstream(ctx, s.topology.gateway); err != nil {
			return err
		}
	}
	s.counters[barePeer], s.counters[gatewayPeer] = behindBare[0], behindGateway[0]
	s.peers[directPeer] = peer{target: load.Target{Addr: behindBare[0], Path: "/mcp"}, pid: pid}
	if s.peers[barePeer], err = s.startBare(ctx, behindBare[0]); err != nil {
		return err
	}
	if s.bench.gateway == standIn {
		s.peers[gatewayPeer], err = s.startBare(ctx, behindBare[0])
		return err
	}
	return s.startGateway(ctx, behindGateway)
}

// pipeServer is the name of the server that is a child process.
const pipeServer = "pipe"

// serverName is "up" for the only server of a configuration.
func serverName(i, of int) string {
	if of == 1 {
		return "up"
	}
	return fmt.Sprintf("s%02d", i)
}

func (s *stage) startUpstream(ctx context.Context, options upstream.Options) (addrs []string, pid int, err error) {
	text, err := json.Marshal(options)
	if err != nil {
		return nil, 0, err
	}
	p, err := proc.Start([]string{s.bench.self, "upstream", string(text)}, os.Stderr, true)
	if err != nil {
		return nil, 0, err
	}
	s.processes = append(s.processes, p)
	var said announcement
	if err := p.Announced(ctx, &said); err != nil {
		return nil, 0, err
	}
	return said.Addrs, p.PID(), nil
}

func (s *stage) startBare(ctx context.Context, upstream string) (peer, error) {
	addr, err := freeAddr()
	if err != nil {
		return peer{}, err
	}
	begin := time.Now()
	p, err := proc.Start([]string{s.bench.self, "bare", "-listen", addr, "-upstream", "http://" + upstream}, os.Stderr, false)
	if err != nil {
		return peer{}, err
	}
	p.Watch()
	s.processes = append(s.processes, p)
	return s.await(ctx, p, begin, load.Target{Addr: addr, Path: "/mcp"})
}

// startGateway starts the gateway before the servers at addrs, with its log in a file.
func (s *stage) startGateway(ctx context.Context, addrs []string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	target := load.Target{Addr: addr}
	if s.topology.guarded {
		if target.Tokens, err = s.guard(); err != nil {
			return err
		}
	}
	config, err := s.writeConfig(addr, addrs)
	if err != nil {
		return err
	}
	begin, err := s.startProcess(config)
	if err != nil {
		return err
	}
	first := serverName(0, len(addrs))
	target.Path, target.Prefix = "/mcp", first+"__"
	if s.bench.settings.route == "server" {
		target.Path, target.Prefix = "/mcp/"+first, ""
	}
	p, err := s.await(ctx, s.gateway, begin, target)
	if err != nil {
		return fmt.Errorf("gateway with %s: %w; the end of its log:\n%s", s.topology.name, err, tail(s.log))
	}
	if len(addrs) > 1 {
		p.target = load.Target{Addr: addr, Path: "/mcp"} // a list of them all
	}
	s.peers[gatewayPeer] = p
	return nil
}

// startProcess starts the gateway's process, with its log in a file.
func (s *stage) startProcess(config string) (begin time.Time, err error) {
	s.config, s.log = config, filepath.Join(s.bench.dir, s.topology.name+".log")
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return begin, err
	}
	defer log.Close() // the child has its own
	argv := []string{s.bench.gateway}
	for _, arg := range strings.Fields(s.bench.settings.gatewayArgs) {
		argv = append(argv, strings.ReplaceAll(arg, "{config}", config))
	}
	begin = time.Now()
	if s.gateway, err = proc.Start(argv, log, false); err != nil {
		return begin, err
	}
	s.gateway.Watch()
	return begin, nil
}

// again starts the gateway as it was started before.
func (s *stage) again(ctx context.Context) error {
	begin, err := s.startProcess(s.config)
	if err != nil {
		return err
	}
	if _, err = s.await(ctx, s.gateway, begin, s.peers[gatewayPeer].target); err != nil {
		return fmt.Errorf("start the gateway again: %w; the end of its log:\n%s", err, tail(s.log))
	}
	return nil
}

// await waits until the process gives a right answer, and where a list is wanted a whole list.
func (s *stage) await(ctx context.Context, p *proc.Process, begin time.Time, target load.Target) (peer, error) {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	if err := load.FirstAnswer(ctx, target, load.Legacy, p.Exited()); err != nil {
		return peer{}, err
	}
	ready := peer{target: target, pid: p.PID(), start: time.Since(begin)}
	if s.topology.tools == 0 {
		return ready, nil
	}
	all := load.Target{Addr: target.Addr, Path: "/mcp"}
	return ready, load.FirstList(ctx, all, s.topology.tools, p.Exited())
}

// writeConfig writes the gateway's configuration: it listens on addr and has the servers at addrs, and the child process where the
// topology wants one.
func (s *stage) writeConfig(addr string, addrs []string) (string, error) {
	text := "listen: " + addr + "\n"
	if s.guards != nil {
		guards, err := s.guards.configure()
		if err != nil {
			return "", err
		}
		text += guards
	}
	text += "servers:\n"
	for i, server := range addrs {
		text += fmt.Sprintf("  %s: {url: http://%s/mcp}\n", serverName(i, len(addrs)), server)
	}
	if s.guards != nil {
		text += s.guards.others(addrs[0])
	}
	if s.topology.pipe {
		options, err := json.Marshal(s.topology.gateway)
		if err != nil {
			return "", err
		}
		command, err := json.Marshal([]string{s.bench.self, "stdio", string(options)})
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf("  %s: {command: %s}\n", pipeServer, command)
	}
	if s.bench.settings.profile != "" {
		text += "telemetry: {profiling: true}\n"
	}
	if s.bench.settings.extra != "" {
		extra, err := os.ReadFile(s.bench.settings.extra)
		if err != nil {
			return "", err
		}
		text += string(extra)
	}
	path := filepath.Join(s.bench.dir, s.topology.name+".yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// close stops the gateway as an operator would, kills the rest and looks into the log for what must not be there.
func (s *stage) close() error {
	var fault error
	if s.gateway != nil {
		if s.gateway.Stop(stopGrace) {
			s.bench.remark("%s: the gateway did not end within %v of SIGTERM and was killed", s.topology.name, stopGrace)
		}
	}
	if s.log != "" {
		fault = scanLog(s.log)
	}
	if s.guards != nil {
		fault = errors.Join(fault, s.guards.close())
	}
	for _, p := range s.processes {
		p.Stop(0)
	}
	return fault
}

// freeAddr finds a free loopback port by taking and leaving it.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
