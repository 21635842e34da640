package credential_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// victimOf has this program be a gateway that refreshes a token and is killed then.
const victimOf = "DRAGOMAN_TEST_VICTIM"

func TestMain(m *testing.M) {
	if place := os.Getenv(victimOf); place != "" {
		if err := beVictim(place); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// beVictim calls a server for corp:alice some hours from now, says so when its token has
// been put on the request, and waits to be killed before it is sent.
func beVictim(place string) error {
	parts := strings.Split(place, "|")
	path, url := parts[0], parts[1]
	ahead, err := time.ParseDuration(parts[2])
	if err != nil {
		return err
	}
	ctx := context.Background()
	state, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	wrapper, err := secret.NewLocal(material)
	if err != nil {
		return err
	}
	sealer, err := mint.NewSealer(material)
	if err != nil {
		return err
	}
	later := func() time.Time { return time.Now().Add(ahead) }
	b := credential.New(credential.Options{Near: near(), Far: near(), Now: later})
	b.Keep(credential.Keeper{State: state, Box: secret.NewBox(wrapper, state.DataKeys, later), Sealer: sealer})
	s := b.Server(config.Server{Name: "notes", URL: url, Auth: config.Credential{Type: "oauth"}})
	way := s.Transport(mcp.Principal{ID: "corp:alice"}, stop{})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	res, err := way.RoundTrip(req)
	if err == nil {
		_ = res.Body.Close()
	}
	return err
}

// stop never sends a request.
type stop struct{}

func (stop) RoundTrip(req *http.Request) (*http.Response, error) {
	fmt.Println("holds", req.Header.Get("Authorization"))
	select {} // until it is killed
}

func TestAKilledGatewayLosesNoLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.open()
	h.login(first, "corp:alice", "alice-at-work")
	for round := 1; round <= 3; round++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), victimOf+"="+h.path+"|"+fmt.Sprintf("%s/mcp|%dh", h.resource.URL, 2*round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if !strings.HasPrefix(line, "holds Bearer access-") {
			t.Fatalf("the gateway that was to be killed said %q", line)
		}
		if n := h.authority.count("refresh_token"); n != round {
			t.Fatalf("in round %d it has refreshed %d times", round, n)
		}
		// The refresh token of before is spent; another gateway goes on with the next.
		h.authority.set(func() {
			for _, f := range h.authority.families {
				if f.ended {
					t.Errorf("the login of %s was ended: somebody showed a refresh token twice", f.who)
				}
			}
		})
		r := h.open()
		if got := h.says(r, "corp:alice"); got != "alice-at-work" {
			t.Errorf("after the kill the server takes alice for %q", got)
		}
		if n := h.authority.count("refresh_token"); n != round {
			t.Errorf("after the kill the token was refreshed again (%d times)", n)
		}
	}
}
