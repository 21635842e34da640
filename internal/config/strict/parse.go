package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDocument is the most bytes of a document that Parse reads. Some clients keep their servers beside years of history.
const maxDocument = 32 << 20

// Parse reads one document: JSON (with comments and trailing commas) when the file's name ends in .json or .jsonc or the
// text begins with a brace and is JSON, and YAML otherwise. An empty document gives a nil node.
func Parse(file string, data []byte) (*yaml.Node, error) {
	if len(data) > maxDocument {
		return nil, Faults{{Place: Place{File: file}, Problem: fmt.Sprintf("has %d bytes", len(data)),
			Remedy: fmt.Sprintf("the most that is read is %d", maxDocument)}}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	switch ext := strings.ToLower(filepath.Ext(file)); {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, nil
	case ext == ".json" || ext == ".jsonc":
		return parseJSON(file, data)
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")):
		if n, err := parseJSON(file, data); err == nil {
			return n, nil
		}
	}
	return parseYAML(file, data)
}

func parseYAML(file string, data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, Faults{yamlFault(file, data, err)}
	}
	var next yaml.Node
	switch err := dec.Decode(&next); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, Faults{yamlFault(file, data, err)}
	default:
		return nil, Faults{{Place: Place{file, next.Line, next.Column}, Problem: "a second document begins here",
			Remedy: "put everything in one document and remove the line ---"}}
	}
	return doc.Content[0], nil
}

var (
	yamlErrorLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)
	// yamlParserError matches the messages of the parser proper, whose lines count from 0; the scanner's count from 1.
	yamlParserError = regexp.MustCompile(`did not find expected (node content|key|'-' indicator|',' or|<document start>)`)
)

// yamlFault gives the parser's message a place, and a remedy where the message alone does not help.
func yamlFault(file string, data []byte, err error) Fault {
	msg, line := err.Error(), 1 // no line is named when it is the first
	if m := yamlErrorLine.FindStringSubmatch(msg); m != nil {
		msg = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
			if yamlParserError.MatchString(msg) {
				line++
			}
		}
	}
	f := Fault{Place: Place{File: file, Line: line}, Problem: "is not YAML: " + msg}
	switch {
	case strings.Contains(msg, "cannot start any token") && bytes.Contains(data, []byte("\n\t")):
		f.Remedy = "indent with spaces; YAML has no tabs"
	case strings.Contains(msg, "mapping values are not allowed"):
		f.Remedy = "check the indentation, and put text that contains \": \" in quotes"
	case strings.Contains(msg, "cannot start any token"):
		f.Remedy = "put text that begins with @, % or ` in quotes"
	case strings.Contains(msg, "unknown anchor"), strings.Contains(msg, "alphabetic or numeric character"):
		f.Remedy = "put text that begins with * or & in quotes"
	case strings.Contains(msg, "did not find expected"):
		f.Remedy = "check the indentation and that every bracket and quote is closed"
	}
	return f
}
