package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

// controlWait bounds one request to a running gateway. A reload waits for
// servers that have to start one after the other.
const controlWait = time.Minute

// errNewOne begins what a gateway says of a configuration that is not faulty, and
// that it refused.
var errNewOne = errors.New("the new one")

// maxBody bounds what is read of its answer.
const maxBody = 4 << 20

// control speaks with a running gateway about itself.
type control struct {
	app   *app.App
	base  string // scheme, host, port, and the path before /mcp
	token string
}

// control finds the gateway: at --url, or where the configuration listens.
func (r *reach) control(cmd *cobra.Command) (*control, error) {
	c := &control{token: r.bearer()}
	cfg := &config.Config{}
	var err error
	if r.url != "" {
		if c.base, err = baseOf(r.url); err != nil {
			return nil, exit(exitUsage, err)
		}
		if cfg, err = config.Parse("", nil, nil); err != nil {
			return nil, err
		}
	} else {
		if cfg, _, err = r.load(); err != nil {
			return nil, err
		}
		c.base = schemeOf(cfg) + reachable(cfg.Listen)
	}
	alone := modest(cfg)
	alone.Servers, alone.Views = nil, nil
	c.app, err = app.Open(alone, r.options(cmd))
	return c, err
}

func (c *control) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	_ = c.app.Close(ctx)
}

// baseOf is the address of a gateway without the path of an endpoint.
func baseOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("--url %q is no address: write it like http://127.0.0.1:8000", address)
	}
	switch u.Scheme {
	case "http", "https":
	case "ws", "wss":
		u.Scheme = "http" + strings.TrimPrefix(u.Scheme, "ws")
	default:
		return "", fmt.Errorf("--url %q must begin with http:// or https://", address)
	}
	path := u.Path
	for _, endpoint := range []string{"/mcp", "/sse"} {
		if at := strings.LastIndex(path+"/", endpoint+"/"); at >= 0 {
			path = path[:at]
		}
	}
	return u.Scheme + "://" + u.Host + strings.TrimSuffix(path, "/"), nil
}

// schemeOf is how the addresses of a gateway begin.
func schemeOf(cfg *config.Config) string {
	if cfg.TLS.Cert != "" {
		return "https://"
	}
	return "http://"
}

// reachable is an address to listen on as one to call: that of every interface
// is called by loopback.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// ask makes a request and reads its answer into body. Refusals are errors with
// the reason that the gateway gives.
func (c *control) ask(ctx context.Context, method, path string, body any) error {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.app.HTTPClient().Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, body); err != nil {
		return exit(exitUnreachable, fmt.Errorf("%s answers, but not like a Dragoman gateway", c.base))
	}
	return nil
}

func (c *control) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return interrupted(ctx, err)
	}
	t := diagnose(err, config.Server{URL: c.base})
	if t.code == exitUnreachable && !strings.HasPrefix(t.text, "TLS") {
		t.remedy = "start the gateway with dragoman serve, or say with --url where it is"
	}
	return t.failure(c.base)
}

// refused reads the reason out of {"error": "…"} or a JSON-RPC error.
func (c *control) refused(status int, text []byte) error {
	var body struct{ Error json.RawMessage }
	var wire struct{ Message string }
	reason := ""
	if json.Unmarshal(text, &body) == nil && json.Unmarshal(body.Error, &reason) != nil && json.Unmarshal(body.Error, &wire) == nil {
		reason = wire.Message
	}
	reason = harmless(reason)
	switch {
	case status == http.StatusConflict:
		return exit(exitConfig, fmt.Errorf("%w %s", errNewOne, reason))
	case status == http.StatusUnprocessableEntity:
		return exit(exitConfig, errors.New(reason))
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return exit(exitAuth, fmt.Errorf("%s: %s (--token or $DRAGOMAN_TOKEN)", c.base, reason))
	case reason != "":
		return exit(exitFailure, fmt.Errorf("%s: %s", c.base, reason))
	}
	return exit(exitUnreachable, fmt.Errorf("%s answers with HTTP %d %s: no Dragoman gateway is there", c.base, status, http.StatusText(status)))
}
