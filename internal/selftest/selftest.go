// Package selftest tries on a running instance, and on the parts that this program is made of, what attackers have
// published: texts that two parsers read differently, headers that disagree with bodies, tokens, paths, statements,
// destinations. It counts what was refused, what was let through, and what is harmless and was refused by mistake.
//
// It does not know how an instance is started, nor how anything that it attacks works inside.
package selftest

import (
	"context"
	"fmt"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

// Target is the instance that is tried.
type Target struct {
	// URL is where it answers, without a path: http://127.0.0.1:8000.
	URL string
	// Token is a credential that it takes; empty when it asks for none.
	Token string
	// Own says what is behind it, when it was started for this; otherwise nil.
	Own *Own
	// Data is a directory with checkouts of what is too large to be carried along, as OWNER/NAME or OWNER+NAME; may be empty.
	Data string

	network *egress.Network
}

// Own is what stands behind an instance that was started for this, under the names files, web and database.
type Own struct {
	// Root is the directory that the server files serves; everything in it may be changed.
	Root string
	// Outside is a file beside Root, and Canary the text in it.
	Outside, Canary string
	// Database is the directory of the database, which has a table t, a view v and a full text index f.
	Database string
	// Issuer shares Secret with the instance, for HS256, and Audience is who tokens must be for.
	Issuer, Secret, Audience string
}

// Result is what became of one corpus.
type Result struct {
	Corpus string `json:"corpus"`
	Source string `json:"source"`
	// Attacks were tried; each was refused or let through.
	Attacks int `json:"attacks"`
	Refused int `json:"refused"`
	Through int `json:"let_through"`
	// Harmless ones were tried, of which some were refused by mistake.
	Harmless int `json:"harmless"`
	Mistaken int `json:"refused_by_mistake"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
	// Skipped says why nothing was tried.
	Skipped string `json:"skipped,omitempty"`
	// Found names what was let through or refused by mistake, at most maxFound.
	Found []string `json:"found,omitempty"`
}

// maxFound bounds what is told of one corpus: who has twenty examples needs no more.
const maxFound = 20

// attack counts something that must be refused.
func (r *Result) attack(refused bool, format string, args ...any) {
	r.Attacks++
	if refused {
		r.Refused++
		return
	}
	r.Through++
	r.note("let through: "+format, args...)
}

// harmless counts something that must not be refused.
func (r *Result) harmless(passed bool, format string, args ...any) {
	r.Harmless++
	if !passed {
		r.Mistaken++
		r.note("refused by mistake: "+format, args...)
	}
}

func (r *Result) note(format string, args ...any) {
	if len(r.Found) < maxFound {
		r.Found = append(r.Found, fmt.Sprintf(format, args...))
	}
}

// trial is one corpus and what is done with it.
type trial struct {
	corpus, source string
	try            func(ctx context.Context, t *Target, r *Result) error
}

// trials are in the order in which they are told.
func trials() []trial {
	return []trial{
		{"JSON texts", "JSONTestSuite", jsonTexts},
		{"messages with two readings", "CVE-2026-27896, GHSA-4gph-2hhr-5mwg, ToolHive #5931, #6304", messages},
		{"headers that disagree", "MCP 2026-07-28, transports, server validation", mirrors},
		{"content types", "ToolHive #6234, CVE-2026-33252", contentTypes},
		{"hosts and origins", "CVE-2026-34742, CVE-2025-64443, CVE-2025-59163", rebinding},
		{"HTTP framing", "RFC 9112, CVE-2025-22871", framing},
		{"sizes and depths", "CVE-2026-39313", bombs},
		{"callers without a credential", "CVE-2026-33032, CVE-2026-34227, CVE-2026-48710, CVE-2026-42208", strangers},
		{"tokens", "RFC 8725, CVE-2025-30204", tokens},
		{"weak secrets, over HTTP", "manuals and examples", weakTokens},
		{"weak secrets, refused as settings", "manuals and examples", weakSecrets},
		{"known secrets, over HTTP", "wallarm/jwt-secrets", knownTokens},
		{"known secrets, refused as settings", "wallarm/jwt-secrets", knownSecrets},
		{"signatures (JWS)", "Wycheproof", signatures},
		{"encryption (XChaCha20-Poly1305)", "Wycheproof", encryption},
		{"destinations, at the guard", "crawl4ai, AWS, safeurl, daenney, PayloadsAllTheThings", destinations},
		{"destinations, through the server web", "the same, as far as they need no names", fetched},
		{"paths", "every step, separator and depth", paths},
		{"paths, published", "swisskyrepo/PayloadsAllTheThings, Directory Traversal", publishedPaths},
		{"SQL statements", "cli-printing-press, awslabs/mcp, PayloadsAllTheThings", statements},
	}
}

// Run tries every corpus and tells each result when it is there. The error is that of a target that cannot be tried at
// all; what was let through is in the results.
func Run(ctx context.Context, t *Target, tell func(Result)) ([]Result, error) {
	tried := *t
	t = &tried
	t.network = egress.New(egress.Options{})
	defer t.network.Close()
	if err := t.reachable(ctx); err != nil {
		return nil, err
	}
	var all []Result
	for _, one := range trials() {
		r, began := Result{Corpus: one.corpus, Source: one.source}, time.Now()
		if err := one.try(ctx, t, &r); err != nil {
			return all, fmt.Errorf("try %s: %w", one.corpus, err)
		}
		r.Seconds = time.Since(began).Seconds()
		all = append(all, r)
		tell(r)
	}
	return all, ctx.Err()
}
