package server

import (
	"fmt"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

// Reach says which destinations a server may reach, as a section of settings.
// Its zero value is for what callers may choose: public addresses only.
type Reach struct {
	// Private opens loopback, private, link-local and other special addresses:
	// for destinations that the operator wrote. Metadata services of clouds stay
	// closed.
	Private bool `yaml:"private" default:"false"`
	// Allow opens destinations, whatever their address is: names, *.names,
	// addresses and networks like 10.0.0.0/8.
	Allow []string `yaml:"allow"`
	// Only, when not empty, closes everything that is not in it. It opens nothing.
	Only []string `yaml:"only"`
	// Deny closes destinations, whatever the other lists say.
	Deny []string `yaml:"deny"`
	// TrustProxy leaves the judgement of addresses to the HTTP proxy, if there is
	// one. Without it, what would go through a proxy is refused.
	TrustProxy bool `yaml:"trust_proxy" default:"false"`
}

// Network is a way out: Client for HTTP, with redirects, decompression and
// bounds; HTTPClient for clients that bring their own; Dial for other protocols.
// Every address passes its Reach after names were resolved, right before it is
// connected to.
type Network = egress.Network

// ClientOptions bound what Network.Client does for one request.
type ClientOptions = egress.ClientOptions

// Network returns a way out that lasts as long as the server. A server has one
// for each kind of destination, such as one for what its operator configured and
// one for what callers name.
func (s *Server) Network(r Reach) (*Network, error) {
	guard, err := egress.NewGuard(egress.Policy{
		Name: s.env.Name, Private: r.Private, Allow: r.Allow, Only: r.Only, Deny: r.Deny, TrustProxy: r.TrustProxy,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("read where the server may go: %w", err)
	}
	n := egress.New(egress.Options{Guard: guard, Proxy: s.env.Proxy, UserAgent: s.about.Name + "/" + s.about.Version})
	s.OnClose(n.Close)
	return n, nil
}
