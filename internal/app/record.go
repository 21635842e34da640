package app

import (
	"net/url"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// openAudit opens the audit log, if there is to be one.
func (a *App) openAudit(cfg *config.Config) error {
	if cfg.Audit.Dir == "" {
		return nil
	}
	log, err := audit.Open(audit.Options{Config: cfg.Audit, Redactor: a.secrets, Log: a.log})
	a.audit = log
	return err
}

// recorded returns the handler of a server with its calls in the audit log.
func (a *App) recorded(server string, h mcp.Handler) mcp.Handler {
	if a.audit == nil {
		return h
	}
	return a.audit.Record(server)(h)
}

func (a *App) closeAudit() error {
	if a.audit == nil {
		return nil
	}
	return a.audit.Close()
}

// learn makes the secrets of a configuration known to what takes them out of logs.
func learn(s *scan.Scanner, cfg *config.Config) {
	s.Learn(cfg.Session.Secret.Reveal(), cfg.Secrets.Passphrase.Reveal(), cfg.Secrets.KMS.Token.Reveal())
	for _, dsn := range []string{cfg.State.DSN.Reveal(), cfg.Rates.Redis.Reveal()} {
		if u, err := url.Parse(dsn); err == nil && u.User != nil {
			password, _ := u.User.Password()
			s.Learn(password)
		}
	}
	for _, t := range cfg.Auth.Tokens {
		s.Learn(t.Token.Reveal())
	}
	for _, i := range cfg.Auth.Issuers {
		s.Learn(i.Secret.Reveal(), i.Introspection.ClientSecret.Reveal())
	}
	s.Learn(credentials(cfg.Telemetry.OTLPHeaders)...)
	for _, server := range cfg.Servers {
		s.Learn(credentials(server.Headers)...)
		s.Learn(server.Auth.ClientSecret.Reveal())
		for name, value := range server.Env { // most of an environment is no secret
			if s.Named(name) {
				s.Learn(value.Reveal())
			}
		}
	}
}

// credentials returns the values of headers, and what stands behind a scheme in
// them: the token of a Bearer.
func credentials(headers map[string]config.Secret) []string {
	var out []string
	for _, value := range headers {
		text := value.Reveal()
		out = append(out, text)
		if _, token, ok := strings.Cut(text, " "); ok {
			out = append(out, token)
		}
	}
	return out
}
