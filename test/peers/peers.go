// Package peers finds the programs that test/peers/setup installed: clients and servers of MCP that the project did not
// write. It does not know what a peer speaks, how it is configured or what a test wants of it.
package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The names of what setup installs, as Path takes them.
const (
	Node               = "node"                // Node 22, for the scripts in test/peers/clients
	ServerEverything   = "server-everything"   // TypeScript SDK 1.x server; argument stdio, sse or streamableHttp (port in $PORT)
	ServerFilesystem   = "server-filesystem"   // stdio; arguments are the directories it may touch
	ServerMemory       = "server-memory"       // stdio
	Inspector          = "inspector"           // --cli lists and calls
	EverythingServer   = "everything-server"   // Go SDK; stdio, or HTTP with -http=HOST:PORT and -stateless=BOOL
	EverythingClient   = "everything-client"   // Go SDK; driven by the conformance suite
	Conformance        = "conformance"         // official suite, the line that knows 2026-07-28
	ConformanceClassic = "conformance-0.1"     // official suite, the line of 2025-11-25 and before
	Bun                = "bun"                 // starts npm's packages, as bunx
	Pipx               = "pipx"                // starts Python's; where there is no Python it is missing, as is uvx
	Uvx                = "uvx"                 // the same
	required           = "DRAGOMAN_NEED_PEERS" // when set, a missing peer fails the test instead of skipping it
)

// Path returns the absolute path of a peer's program. Where it is not installed the test is skipped, or fails if
// DRAGOMAN_NEED_PEERS is set, as make test does.
func Path(tb testing.TB, name string) string {
	tb.Helper()
	path, err := Find(name)
	if err == nil {
		return path
	}
	if os.Getenv(required) != "" {
		tb.Fatal(err)
	}
	tb.Skip(err)
	return ""
}

// Find returns the absolute path of a peer's program, or an error that says how to install it.
func Find(name string) (string, error) {
	dir, err := directory()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bin", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("peer %s is not installed in %s: run test/peers/setup", name, dir)
	}
	return path, nil
}

// Script returns the absolute path of a script in test/peers/clients, where imports of the TypeScript SDKs resolve.
func Script(tb testing.TB, name string) string {
	tb.Helper()
	root, err := Root()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(root, "test", "peers", "clients", name)
}

func directory() (string, error) {
	if dir := os.Getenv("DRAGOMAN_PEERS"); dir != "" {
		return filepath.Abs(dir)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".cache", "peers"), nil
}

// Root returns the directory of the repository that the working directory is in: the nearest one with a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("find the repository: no go.mod above the working directory")
		}
		dir = parent
	}
}
