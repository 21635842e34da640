package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// legCommand makes this program the suite's idea of a client: it starts a gateway in front of the suite's server and the
// official client in front of the gateway.
const legCommand = "leg"

// legWork is the environment variable that tells a leg where its gateway keeps its log.
const legWork = "DRAGOMAN_LEG_WORK"

const legWait = time.Minute // bound of one scenario

// clientCommand is what the suite runs as the client under test; it appends the URL of its server.
func clientCommand(r run, opts options) ([]string, error) {
	client, err := peers.Find(r.client)
	if err != nil || !r.gateway {
		return []string{client}, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []string{self, legCommand, opts.gateway, client}, nil
}

// runLeg is the other half of clientCommand: args are the gateway, the client and the suite's URL. It ends as the client
// ended.
func runLeg(args []string) int {
	if len(args) != 3 {
		fmt.Fprintf(os.Stderr, "usage: conformance %s GATEWAY CLIENT URL\n", legCommand)
		return 2
	}
	ctx, cancel := context.WithTimeout(context.Background(), legWait)
	defer cancel()
	address, stop, err := startGateway(ctx, args[0], os.Getenv(legWork), fmt.Sprintf("  suite: {url: %q, health: {interval: 0s}}\n", args[2]))
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		return 1
	}
	defer stop()
	client := exec.CommandContext(ctx, args[1], "http://"+address+"/mcp/suite")
	client.Stdout, client.Stderr = os.Stdout, os.Stderr
	if err := client.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance: the client:", err)
		return 1
	}
	return 0
}
