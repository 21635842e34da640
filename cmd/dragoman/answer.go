package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// The forms of output.
const (
	formText = "text"
	formJSON = "json"
	formRaw  = "raw"
)

// answer shows the result of a call.
type answer struct {
	screen *screen
	form   string
	save   *folder // nil when nothing is saved
	saved  []string
}

// show writes the result: data to standard output; what a tool says of its own
// failure, in the form for people, to standard error.
func (a *answer) show(result mcp.Result) error {
	if a.form != formText {
		if err := a.keep(result); err != nil {
			return err
		}
		text := string(result.Raw())
		if a.form == formJSON {
			text = indented(result.Raw())
		}
		_, err := fmt.Fprintln(a.screen.out, text)
		return err
	}
	out := a.screen.out
	if isFailure(result) {
		out = a.screen.err
	}
	text, err := a.text(result)
	if err != nil || text == "" {
		return err
	}
	if out == a.screen.out && a.screen.outTTY || out == a.screen.err && a.screen.errTTY {
		text = harmless(text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err = fmt.Fprint(out, text)
	return err
}

func isFailure(result mcp.Result) bool { return string(result.Get("isError")) == "true" }

// text is the result for people: its content block by block, or its structured
// content when there is no text among them.
func (a *answer) text(result mcp.Result) (string, error) {
	if result.Type() != mcp.Complete {
		return indented(result.Raw()), nil
	}
	var parts []string
	texts := 0
	for element := range jsonrpc.Elements(result.Get("content")) {
		block, _ := jsonrpc.Split(element)
		if kind, _ := block.String("type"); kind == "text" {
			texts++
		}
		part, err := a.block(block)
		if err != nil {
			return "", err
		}
		parts = append(parts, part)
	}
	if structured := result.Get("structuredContent"); structured != nil && texts == 0 {
		parts = append(parts, indented(structured))
	}
	return strings.Join(parts, "\n"), nil
}

func indented(text []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return string(text)
	}
	return b.String()
}

// block is one block of content for people: text as it is, and a line about
// everything else.
func (a *answer) block(block jsonrpc.Object) (string, error) {
	kind, _ := block.String("type")
	switch kind {
	case "text":
		text, _ := block.String("text")
		return text, nil
	case "image", "audio":
		mime, _ := block.String("mimeType")
		data, _ := block.String("data")
		return a.binary(blob{kind: kind, mime: mime, data: data})
	case "resource":
		return a.resource(block)
	case "resource_link":
		uri, _ := block.String("uri")
		name, _ := block.String("name")
		return fmt.Sprintf("[link to %s: %s]", oneLine(name), oneLine(uri)), nil
	}
	return indented(block.Raw()), nil
}

func (a *answer) resource(block jsonrpc.Object) (string, error) {
	resource, _ := jsonrpc.Split(block.Get("resource"))
	uri, _ := resource.String("uri")
	mime, _ := resource.String("mimeType")
	if data, ok := resource.String("blob"); ok {
		return a.binary(blob{kind: "resource", mime: mime, uri: uri, data: data})
	}
	text, _ := resource.String("text")
	if a.save != nil {
		return a.file(blob{kind: "resource", mime: mime, uri: uri}, []byte(text))
	}
	return fmt.Sprintf("[resource %s%s]\n%s", oneLine(uri), withComma(mime), text), nil
}

func withComma(text string) string {
	if text == "" {
		return ""
	}
	return ", " + oneLine(text)
}

// keep saves what can be saved, for forms that show the result as it is.
func (a *answer) keep(result mcp.Result) error {
	if a.save == nil {
		return nil
	}
	_, err := a.text(result)
	for _, line := range a.saved {
		a.screen.say("%s", line)
	}
	return err
}
