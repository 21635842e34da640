package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/test/conformance/everything"
	"github.com/dragoman-mcp/dragoman/test/peers"
)

// targets are the URLs that the suite is pointed at.
type targets struct {
	servers map[string]string // by name, without the gateway
	gateway string            // base URL; empty if it was not started
}

func (t targets) url(r run) string {
	if r.gateway {
		return t.gateway + "/mcp/" + r.target
	}
	return t.servers[r.target]
}

// startTargets starts the official server in both of its modes, the router in front of them, and the gateway in front of
// all. stop, which is never nil, ends them.
func startTargets(ctx context.Context, opts options) (targets, func(), error) {
	all := targets{servers: map[string]string{}}
	var stops []func()
	stop := func() {
		for _, s := range slices.Backward(stops) {
			s()
		}
	}
	for _, name := range []string{stateful, stateless} {
		address, end, err := startOfficial(ctx, opts, name)
		if err != nil {
			return all, stop, err
		}
		stops = append(stops, end)
		all.servers[name] = "http://" + address + "/"
	}
	for _, name := range []string{bothEras, onlyNew} {
		address, end, err := startRouter(name, all.servers)
		if err != nil {
			return all, stop, err
		}
		stops = append(stops, end)
		all.servers[name] = "http://" + address + "/"
	}
	if opts.direct {
		return all, stop, nil
	}
	address, end, err := startGateway(ctx, opts.gateway, opts.work, behind(all.servers))
	if err != nil {
		return all, stop, err
	}
	stops = append(stops, end)
	all.gateway = "http://" + address
	return all, stop, nil
}

// startOfficial starts the official server as a process.
func startOfficial(ctx context.Context, opts options, name string) (string, func(), error) {
	program, err := peers.Find(peers.EverythingServer)
	if err != nil {
		return "", nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	p, err := start(opts.work, name, program, "-http="+address, fmt.Sprintf("-stateless=%t", name == stateless))
	if err != nil {
		return "", nil, err
	}
	if err := p.listening(ctx, address); err != nil {
		p.stop()
		return "", nil, err
	}
	return address, p.stop, nil
}

// startRouter serves both eras of the official server, or only the new one, on one URL.
func startRouter(name string, servers map[string]string) (string, func(), error) {
	newer, err := url.Parse(servers[stateless])
	if err != nil {
		return "", nil, err
	}
	var older *url.URL
	if name == bothEras {
		if older, err = url.Parse(servers[stateful]); err != nil {
			return "", nil, err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	router := everything.New(older, newer)
	server := &http.Server{Handler: router, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with ErrServerClosed
	}()
	return listener.Addr().String(), func() {
		_ = server.Close()
		<-done
		router.Close()
	}, nil
}

// behind describes the servers to the gateway, as YAML.
func behind(servers map[string]string) string {
	var yaml strings.Builder
	for _, name := range []string{bothEras, stateful, onlyNew} {
		fmt.Fprintf(&yaml, "  %s: {url: %q}\n", name, servers[name])
	}
	if program, err := peers.Find(peers.EverythingServer); err == nil {
		fmt.Fprintf(&yaml, "  %s: {command: [%q]}\n", overStdio, program)
		fmt.Fprintf(&yaml, "  %s: {command: [%q], protocol: legacy}\n", oldStdio, program)
	}
	return yaml.String()
}

// startGateway starts the gateway in front of servers, a YAML mapping indented by two, and waits until it serves.
func startGateway(ctx context.Context, program, dir, servers string) (string, func(), error) {
	if _, err := os.Stat(program); err != nil {
		return "", nil, fmt.Errorf("find the gateway: %w: run make build, or leave it out with -direct", err)
	}
	address, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(dir, "dragoman.yaml")
	if err := os.WriteFile(file, []byte("listen: "+address+"\nservers:\n"+servers), 0o644); err != nil {
		return "", nil, err
	}
	p, err := start(dir, "gateway", program, "serve", "-c", file)
	if err != nil {
		return "", nil, err
	}
	if err := p.listening(ctx, address); err != nil {
		p.stop()
		return "", nil, err
	}
	if err := ready(ctx, "http://"+address+"/ready"); err != nil {
		p.stop()
		return "", nil, fmt.Errorf("%w; the gateway's log is %s", err, p.log.Name())
	}
	return address, p.stop, nil
}

// ready waits until url answers 200.
func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(req)
		status := "no answer"
		if err == nil {
			status = answer.Status
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %s after %s", url, status, startWait)
		case <-tick.C:
		}
	}
}
