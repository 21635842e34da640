package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/app"
)

// beFickle is a server over stdio whose tools change with every call.
func beFickle() {
	in := json.NewDecoder(os.Stdin)
	for {
		var msg struct {
			ID     json.RawMessage
			Method string
		}
		if in.Decode(&msg) != nil {
			return
		}
		result := `{}`
		switch msg.Method {
		case "initialize":
			result = `{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"fickle","version":"1"}}`
		case "tools/list":
			result = `{"tools":[{"name":"change","inputSchema":{"type":"object"}}]}`
		case "tools/call":
			fmt.Println(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
			result = `{"content":[]}`
		}
		if msg.ID != nil {
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", msg.ID, result)
		}
	}
}

// A client over stdio hears that the lists of a server that it has for itself have changed.
func TestAClientOverStdioHearsOfItsOwnServers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, fmt.Sprintf("servers: {fickle: {command: [%q, fickle], isolation: session}}\n", self))
	a, err := app.Open(cfg, app.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	in, toGateway := io.Pipe()
	fromGateway, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- a.ServeStdio(context.Background(), in, out, "") }()
	heard := make(chan string, 64)
	go func() {
		defer close(heard)
		for lines := bufio.NewScanner(fromGateway); lines.Scan(); {
			heard <- lines.Text()
		}
	}()
	say := func(text string) { fmt.Fprintln(toGateway, text) }
	say(initialize)
	say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	late := time.After(4 * time.Minute)
	again := time.NewTicker(100 * time.Millisecond) // it may change before anybody listens
	defer again.Stop()
	for id, changed := 2, false; !changed; {
		select {
		case <-again.C:
			say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"fickle__change"}}`, id))
			id++
		case text := <-heard:
			changed = strings.Contains(text, "notifications/tools/list_changed")
		case <-late:
			t.Fatal("the client was not told that tools have changed")
		}
	}
	_ = toGateway.Close()
	for range heard { // until all is answered
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	closing, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if err := a.Close(closing); err != nil {
		t.Error(err)
	}
}
