package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// settings are those of one API; docs/builtin/httpapi.md is their manual.
type settings struct {
	// Document is the file or URL of the OpenAPI document.
	Document string `yaml:"document"`
	// Pin is the hash that the document, or the schema of a GraphQL API, must have.
	Pin     string        `yaml:"pin"`
	GraphQL graphSettings `yaml:"graphql"`
	// BaseURL is where the API is; what the document says when it is empty.
	BaseURL string       `yaml:"base_url"`
	Auth    []credential `yaml:"auth"`
	// Headers are sent with every request.
	Headers map[string]server.Secret `yaml:"headers"`
	Surface string                   `yaml:"surface" default:"auto" enum:"auto|direct|search"`
	Writes  string                   `yaml:"writes" default:"ask" enum:"off|ask|on"`
	Only    []string                 `yaml:"only"`
	Except  []string                 `yaml:"except"`
	// PathSlashes lets arguments in paths have slashes, which are sent as %2F.
	PathSlashes bool `yaml:"path_slashes" default:"false"`

	Rate              backend.Rate           `yaml:"rate"`
	Retry             backend.Retry          `yaml:"retry"`
	Breaker           backend.BreakerOptions `yaml:"breaker"`
	IdempotencyHeader string                 `yaml:"idempotency_header"`

	Cache       server.Size `yaml:"cache" default:"16MiB" min:"0B" max:"1GiB"`
	Pages       server.Size `yaml:"pages" default:"16MiB" min:"64KiB" max:"1GiB"`
	MaxAnswer   server.Size `yaml:"max_answer" default:"8MiB" min:"1KiB" max:"256MiB"`
	MaxRequest  server.Size `yaml:"max_request" default:"1MiB" min:"1KiB" max:"64MiB"`
	MaxDocument server.Size `yaml:"max_document" default:"32MiB" min:"1KiB" max:"256MiB"`

	Limits server.Limits `yaml:"limits"`
	Reach  server.Reach  `yaml:"reach"`
}

// Validate says what the tags cannot.
func (s *settings) Validate() error {
	switch {
	case s.Document == "" && s.GraphQL.URL == "":
		return server.Errorf("write document: FILE-OR-URL or graphql: {url: URL} under settings, or on the command line --set document=FILE or --set graphql.url=URL",
			"nothing says which API: there is neither document nor graphql.url")
	case s.Document != "" && s.GraphQL.URL != "":
		return server.Errorf("take one of them out, and make a second server for it", "there are both document and graphql.url")
	}
	for _, at := range []string{s.BaseURL, s.GraphQL.URL} {
		if at == "" {
			continue
		}
		if _, err := place(at); err != nil {
			return err
		}
	}
	for i := range s.Auth {
		if err := s.Auth[i].check(); err != nil {
			return err
		}
	}
	for name, value := range s.Headers {
		if strings.ContainsAny(name+value.Reveal(), "\r\n\x00") || http.CanonicalHeaderKey(name) == "Host" {
			return server.Errorf("correct it", "headers.%s cannot be sent", name)
		}
	}
	if s.Pin != "" && (!strings.HasPrefix(s.Pin, "sha256:") || len(s.Pin) != len("sha256:")+64) {
		return server.Errorf("write sha256: and 64 hexadecimal digits", "pin is no hash")
	}
	return s.GraphQL.check()
}

// place reads the URL of an API: http or https, a host, and a path at most.
func place(at string) (*url.URL, error) {
	u, err := url.Parse(at)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, server.Errorf("write https://HOST/PATH", "the API's URL %q is none", at)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, server.Errorf("write credentials under auth", "the API's URL has a user, a query or a fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	for _, segment := range strings.Split(u.Path, "/") {
		if segment == "." || segment == ".." {
			return nil, server.Errorf("write the path without . and ..", "the API's URL has a segment %s", segment)
		}
	}
	return u, nil
}

// reserved are the names that no argument sets.
func (s *settings) reserved(credentials []outbound.Credential) (header, query, cookie []string) {
	header = []string{"Authorization", "Cookie", "Host"}
	for name := range s.Headers {
		header = append(header, name)
	}
	if s.IdempotencyHeader != "" {
		header = append(header, s.IdempotencyHeader)
	}
	for _, c := range credentials {
		switch {
		case c.Kind != outbound.APIKey:
		case c.In == "query":
			query = append(query, c.Name)
		case c.In == "cookie":
			cookie = append(cookie, c.Name)
		default:
			header = append(header, c.Name)
		}
	}
	slices.Sort(header)
	return header, query, cookie
}
