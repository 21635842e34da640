package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
)

// coverageURI is the resource that says what became of the document.
const coverageURI = "httpapi://coverage"

// toldSkipped is how many of the operations that cannot be offered the log names.
const toldSkipped = 5

// coverage is what became of a document.
type coverage struct {
	Title      string    `json:"title"`
	Format     string    `json:"format"`
	Hash       string    `json:"hash"`
	Operations int       `json:"operations"` // that can be called
	LeftOut    int       `json:"left_out"`   // by only, except and writes of the settings
	Skipped    []skipped `json:"skipped"`    // that cannot be offered
	More       int       `json:"more,omitempty"`
}

type skipped struct {
	Request string `json:"request"`
	Reason  string `json:"reason"`
}

func coverageOf(r *rest) coverage {
	c := coverage{
		Title: openapi.Clean(r.doc.Title, 200), Format: r.doc.Format, Hash: r.doc.Hash,
		Operations: len(r.operations), LeftOut: len(r.doc.Operations) - len(r.operations), Skipped: []skipped{},
	}
	for _, s := range r.doc.Skipped {
		c.Skipped = append(c.Skipped, skipped{openapi.Clean(s.Method+" "+s.Path, 300), openapi.Clean(s.Reason, 300)})
	}
	return c
}

// tellCoverage logs what became of a document.
func (a *api) tellCoverage(r *rest) {
	log := a.server.Log()
	log.Info("document", "title", r.doc.Title, "format", r.doc.Format, "hash", r.doc.Hash, "operations", len(r.operations), "skipped", len(r.doc.Skipped))
	if n := len(r.doc.Skipped); n > 0 {
		var first []string
		for _, s := range coverageOf(r).Skipped[:min(n, toldSkipped)] {
			first = append(first, s.Request+": "+s.Reason)
		}
		log.Warn("operations of the document cannot be offered", "count", n, "first", first, "all", "resource "+coverageURI)
	}
}

// addCoverage makes what became of the document a resource, which says so as long as the document has not arrived.
func (a *api) addCoverage() {
	a.server.SDK().AddResource(&sdk.Resource{
		URI: coverageURI, Name: "coverage", Title: "Coverage of the document", MIMEType: "application/json",
		Description: "Which operations of the API's description can be called, and why the others cannot.",
	}, a.readCoverage)
}

func (a *api) readCoverage(context.Context, *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
	r := a.rest.Load()
	if r == nil {
		return nil, a.notYet()
	}
	c := coverageOf(r)
	text, err := json.MarshalIndent(c, "", "  ")
	for ; err == nil && len(text) > int(a.cfg.Limits.Bytes) && len(c.Skipped) > 0; text, err = json.MarshalIndent(c, "", "  ") {
		c.Skipped = slices.Clip(c.Skipped[:len(c.Skipped)/2])
		c.More = len(r.doc.Skipped) - len(c.Skipped)
	}
	if err != nil {
		return nil, fmt.Errorf("encode the coverage: %w", err)
	}
	return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{URI: coverageURI, MIMEType: "application/json", Text: string(text)}}}, nil
}
