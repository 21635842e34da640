package supervisor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// proxyBound is how long a child may take to make the listener of its proxy, which it does before all else.
const proxyBound = 10 * time.Second

// throughProxy is an environment in which programs use the proxy of their sandbox for everything: nothing else leads
// out. NODE_USE_ENV_PROXY is how node is told to (version 24 and newer); npm's and pip's own names win over their settings, which may
// name a proxy that is not there; the other names are those that all others know.
func throughProxy(env []string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch strings.ToLower(name) {
		case "http_proxy", "https_proxy", "all_proxy", "no_proxy", "node_use_env_proxy",
			"npm_config_proxy", "npm_config_https_proxy", "npm_config_http_proxy", "npm_config_noproxy", "pip_proxy":
			return true
		}
		return false
	})
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		env = append(env, name+"=http://"+sandbox.ProxyAddress)
	}
	env = append(env, "PIP_PROXY=http://"+sandbox.ProxyAddress)
	const loopback = "localhost,127.0.0.1,::1" // the sandbox's own
	env = append(env, "npm_config_proxy=http://"+sandbox.ProxyAddress, "npm_config_https_proxy=http://"+sandbox.ProxyAddress, "npm_config_noproxy="+loopback)
	return append(env, "NO_PROXY="+loopback, "no_proxy="+loopback, "NODE_USE_ENV_PROXY=1")
}

// serveProxy has the proxy of a process served for as long as anything of it lives.
func (c *Child) serveProxy(p *Process) {
	l, err := receiveListener(p.task.proxy)
	if err != nil {
		c.log.Warn("the proxy of the child's sandbox cannot be served; the child has no network", "pid", p.PID(), "err", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.wg.Go(func() {
		select {
		case <-p.task.gone:
			cancel()
		case <-ctx.Done():
		}
	})
	c.sup.tunnel(ctx, c.spec.meter.listen(l), c.spec.Name, &c.spec.Sandbox)
}
