package httpapi

import "github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"

type graphSettings struct {
	URL string `yaml:"url"`
}

func (g *graphSettings) check() error { return nil }

type graph struct{ sender *outbound.Sender }

func (a *api) openGraph() error { return nil }
