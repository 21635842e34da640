package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// coverageURI is where the built-in server for APIs says what became of the
// document that describes its API.
const coverageURI = "httpapi://coverage"

// How long a document on the network may take to arrive, and how often it is
// looked whether it has.
const (
	documentWait = 10 * time.Second
	documentLook = 50 * time.Millisecond
)

// coverage is what is told of it.
type coverage struct {
	Title      string `json:"title"`
	Operations int    `json:"operations"` // that can be called
	LeftOut    int    `json:"left_out"`   // by the settings
	Skipped    []struct {
		Request string `json:"request"`
		Reason  string `json:"reason"`
	} `json:"skipped"` // that cannot be offered
	More int `json:"more"` // of those
}

// document adds to the finding f of a server for an API what of its document
// can be called, and warns of what cannot.
func (c serverCheck) document(ctx context.Context, l *line, f *finding, resources []jsonrpc.Object) []finding {
	known := slices.ContainsFunc(resources, func(o jsonrpc.Object) bool {
		uri, _ := o.String("uri")
		return uri == coverageURI
	})
	if c.section.Builtin != "httpapi" || !known {
		return nil
	}
	text, err := readCoverage(ctx, l)
	var found coverage
	if err == nil {
		err = json.Unmarshal([]byte(text), &found)
	}
	if err != nil {
		return []finding{c.remark("offers nothing yet: " + diagnose(l.cause(err), c.section).text)}
	}
	f.Coverage = json.RawMessage(text)
	missing := len(found.Skipped) + found.More
	f.Detail += fmt.Sprintf("; %s: %s", found.Title, count(found.Operations, "operation"))
	if found.LeftOut > 0 {
		f.Detail += fmt.Sprintf(", %d left out by the settings", found.LeftOut)
	}
	if missing == 0 {
		return nil
	}
	first := found.Skipped[0]
	remark := c.remark(fmt.Sprintf("%d of %s of the document cannot be offered; the first is %s: %s", missing,
		count(missing+found.LeftOut+found.Operations, "operation"), first.Request, first.Reason))
	remark.Remedy = "dragoman doctor -o json has all of them under coverage, and so has the resource " + coverageURI
	return []finding{remark}
}

// readCoverage waits for the document, if it comes over the network.
func readCoverage(ctx context.Context, l *line) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, documentWait)
	defer cancel()
	params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "uri", Value: jsonrpc.AppendString(nil, coverageURI)})
	look := time.NewTicker(documentLook)
	defer look.Stop()
	for {
		result, err := l.Handle(ctx, mcp.ReadRequest("resources/read", params, l.client))
		if err == nil {
			return firstText(result)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return "", err
		}
	}
}

func firstText(result mcp.Result) (string, error) {
	for element := range jsonrpc.Elements(result.Get("contents")) {
		if o, ok := jsonrpc.Split(element); ok {
			text, _ := o.String("text")
			return text, nil
		}
	}
	return "", fmt.Errorf("%s is empty", coverageURI)
}
