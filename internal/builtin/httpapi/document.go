package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/server"
)

// rest is an API that a document describes.
type rest struct {
	doc        *openapi.Document
	operations []*operation
	base       *url.URL
	sender     *outbound.Sender
	rules      openapi.Rules
}

// operation is one that may be called.
type operation struct {
	*openapi.Operation
	words  string // what search looks at
	schema func() *judge
}

// isURL tells a document on the network from a file.
func isURL(at string) bool {
	return strings.HasPrefix(at, "https://") || strings.HasPrefix(at, "http://")
}

// openDocument reads a file now, so that its faults are those of the start; what
// is on the network arrives when it does.
func (a *api) openDocument() error {
	a.addCoverage()
	if isURL(a.cfg.Document) {
		a.addSurface()
		a.server.Go(func(ctx context.Context) error {
			return a.arrive(ctx, func(ctx context.Context) error {
				text, err := a.pinned(ctx, a.get)
				if err != nil {
					return err
				}
				return a.useDocument(text)
			})
		})
		return nil
	}
	text, err := a.readFile(a.cfg.Document)
	if err != nil {
		return err
	}
	if a.cfg.Pin != "" && hashOf(text) != a.cfg.Pin {
		return server.Errorf("review it and set settings.pin to what it has now", "the document's hash is %s and not the pinned one", hashOf(text))
	}
	return a.useDocument(text)
}

func (a *api) readFile(name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(a.env.Dir, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the document: %w", err)
	}
	defer func() { _ = f.Close() }()
	return bounded(f, int64(a.cfg.MaxDocument))
}

func bounded(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("it is larger than max_document, %d bytes", most)
	}
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return text, nil
}

// arrive tries load until it succeeds, at a slower and slower pace.
func (a *api) arrive(ctx context.Context, load func(context.Context) error) error {
	for wait := time.Second; ; wait = min(2*wait, 5*time.Minute) {
		attempt, cancel := context.WithTimeout(ctx, time.Minute)
		err := load(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return nil
		}
		a.problemIs("there is no description of the API: %v", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (a *api) get(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.cfg.Document, nil)
	if err != nil {
		return nil, fmt.Errorf("get the document: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/yaml;q=0.9, */*;q=0.5")
	res, err := a.docs.Do(req)
	if err != nil {
		return nil, fmt.Errorf("get the document: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get the document: the answer is %s", res.Status)
	}
	return bounded(res.Body, int64(a.cfg.MaxDocument))
}

func hashOf(text []byte) string {
	digest := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(digest[:])
}

// pinned gets a description that is what it was before: what settings.pin says,
// or else what was seen first. Of one that has changed, the copy goes on to be
// used, and the health says so until the operator has set the pin.
func (a *api) pinned(ctx context.Context, get func(context.Context) ([]byte, error)) ([]byte, error) {
	stored, file := a.stored()
	text, err := get(ctx)
	want := a.cfg.Pin
	if want == "" && stored != nil {
		want = hashOf(stored)
	}
	usable := stored != nil && hashOf(stored) == want
	switch {
	case err != nil && usable:
		a.problemIs("the description of the API cannot be read anew, and the copy is used: %v", err)
		return stored, nil
	case err != nil:
		return nil, err
	case want == "" || hashOf(text) == want:
		a.problem.Store(nil)
		if file != "" && !usable {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				return nil, fmt.Errorf("keep the description: %w", err)
			}
		}
		return text, nil
	case usable:
		a.problemIs("the description of the API has changed to %s; its copy %s is used until settings.pin is set to the new hash", hashOf(text), want)
		return stored, nil
	}
	return nil, fmt.Errorf("its hash is %s and not the pinned %s: review it and set settings.pin", hashOf(text), want)
}

// stored is the copy of the description, and the file where it is; empty when
// there is no directory.
func (a *api) stored() ([]byte, string) {
	own := server.Env{Name: a.name(), DataDir: a.env.DataDir}
	dir, err := own.Data()
	if err != nil || dir == "" {
		return nil, ""
	}
	of := sha256.Sum256([]byte(a.cfg.Document + a.cfg.GraphQL.URL))
	file := filepath.Join(dir, "description-"+hex.EncodeToString(of[:6]))
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, file
	}
	return text, file
}

// useDocument makes the tools of a document.
func (a *api) useDocument(text []byte) error {
	doc, err := openapi.Read(text)
	if err != nil {
		return err
	}
	base, own, err := a.base(doc)
	if err != nil {
		return err
	}
	credentials, err := a.credentials(doc)
	if err != nil {
		return err
	}
	r := &rest{doc: doc, base: base}
	for _, op := range doc.Operations {
		if a.wanted(op) {
			r.operations = append(r.operations, known(op))
		}
	}
	if len(r.operations) == 0 {
		return server.Errorf("look at only, except and writes, and at what `document` describes", "no operation of the document is left (%d were skipped)", len(doc.Skipped))
	}
	r.rules = openapi.Rules{Slashes: a.cfg.PathSlashes, MaxBytes: int(a.cfg.MaxRequest)}
	r.rules.Header, r.rules.Query, r.rules.Cookie = a.cfg.reserved(credentials)
	if r.sender, err = a.sender(base, credentials, own, a.cfg.MaxAnswer); err != nil {
		return err
	}
	a.rest.Store(r)
	a.tellCoverage(r)
	a.surface(r)
	return nil
}

func known(op *openapi.Operation) *operation {
	return &operation{Operation: op, words: wordsOf(op), schema: sync.OnceValue(func() *judge {
		text, err := json.Marshal(op.Input(openapi.View{Words: -1}))
		if err != nil {
			return nil
		}
		var s jsonschema.Schema
		if json.Unmarshal(text, &s) != nil {
			return nil
		}
		resolved, err := s.Resolve(nil)
		if err != nil {
			return nil // the API judges alone
		}
		return newJudge(&s, resolved)
	})}
}

// base is where the API is, and whether the operator has said so.
func (a *api) base(doc *openapi.Document) (*url.URL, bool, error) {
	if a.cfg.BaseURL != "" {
		u, err := place(a.cfg.BaseURL)
		return u, true, err
	}
	if len(doc.Servers) == 0 {
		return nil, false, server.Errorf("set settings.base_url", "the document does not say where the API is")
	}
	at := doc.Servers[0]
	if isURL(a.cfg.Document) {
		from, err := url.Parse(a.cfg.Document)
		if err != nil {
			return nil, false, fmt.Errorf("read the document's URL: %w", err)
		}
		to, err := from.Parse(at)
		if err != nil {
			return nil, false, server.Errorf("set settings.base_url", "the document's server %q is no URL", at)
		}
		u, err := place(to.String())
		return u, err == nil && u.Host == from.Host, err
	}
	u, err := place(at)
	if err != nil {
		return nil, false, server.Errorf("set settings.base_url", "the document's server %q does not say where the API is", at)
	}
	return u, false, nil
}

// credentials are those of the settings, completed by the document's schemes.
func (a *api) credentials(doc *openapi.Document) ([]outbound.Credential, error) {
	out := make([]outbound.Credential, 0, len(a.cfg.Auth))
	for _, set := range a.cfg.Auth {
		c := set.plain()
		if c.Scheme == "" {
			out = append(out, c)
			continue
		}
		scheme, there := doc.Schemes[c.Scheme]
		switch {
		case !there:
			var names []string
			for name := range doc.Schemes {
				names = append(names, name)
			}
			return nil, server.Errorf("take one of: "+strings.Join(names, ", "), "the document has no security scheme %q", c.Scheme)
		case c.Kind == outbound.APIKey && c.In == "":
			if scheme.Kind != "apiKey" || scheme.Name == "" || strings.ContainsAny(scheme.Name, "\r\n\x00 ") {
				return nil, server.Errorf("write in and name", "the scheme %s is no API key", c.Scheme)
			}
			c.In, c.Name = scheme.In, scheme.Name
		}
		out = append(out, c)
	}
	return out, nil
}

// wanted reports whether an operation is one of those that the settings leave.
func (a *api) wanted(op *openapi.Operation) bool {
	if a.cfg.Writes == "off" && !safe(op.Method) {
		return false
	}
	if len(a.cfg.Only) > 0 && !matches(a.cfg.Only, op) {
		return false
	}
	return !matches(a.cfg.Except, op)
}

// matches reports whether one of the patterns is for op: a name, an operationId, a
// path, METHOD /path, or tag:NAME, each with * for a part.
func matches(patterns []string, op *openapi.Operation) bool {
	for _, p := range patterns {
		if tag, isTag := strings.CutPrefix(p, "tag:"); isTag {
			if slices.ContainsFunc(op.Tags, func(t string) bool { return glob(tag, t) }) {
				return true
			}
			continue
		}
		if glob(p, op.Name) || glob(p, op.ID) || glob(p, op.Path) || glob(p, op.Method+" "+op.Path) {
			return true
		}
	}
	return false
}

// glob matches * with everything, slashes too.
func glob(pattern, name string) bool {
	swap := strings.NewReplacer("/", "\x01", "{", "\x02", "}", "\x03", "[", "\x04", "\\", "\x05")
	ok, err := path.Match(swap.Replace(pattern), swap.Replace(name))
	return ok && err == nil
}

// errNotYet is told while the description has not arrived.
func (a *api) notYet() error {
	why := "it is being fetched"
	if p := a.problem.Load(); p != nil {
		why = *p
	}
	return &server.Error{Message: "the API is not known yet: " + why, Next: "try again in a minute", Err: errors.New("no description")}
}
