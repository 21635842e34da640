package openapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Document is a description of an API that was read. It does not change and may
// be used concurrently.
type Document struct {
	// Format is the version of the specification, such as 3.1.0.
	Format string
	// Title, Version and Description are what the document says of the API,
	// cleaned.
	Title, Version, Description string
	// Hash is sha256: and the hexadecimal digest of the text.
	Hash string
	// Servers are where the API is said to be, with the defaults of their
	// variables. They may be relative to where the document was.
	Servers []string
	// Schemes are the ways to authenticate, by their name.
	Schemes map[string]Scheme
	// Operations can be called, sorted by path and method.
	Operations []*Operation
	// Skipped are the operations that cannot, and why.
	Skipped []Skipped

	root object
	old  bool // 2.0
}

// Scheme is a way to authenticate.
type Scheme struct {
	// Kind is apiKey, http, oauth2, openIdConnect or mutualTLS.
	Kind string
	// In and Name say where an API key goes.
	In, Name string
	// HTTP is the scheme of Authorization, such as basic or bearer.
	HTTP string
	// TokenURL is where OAuth2 client credentials are exchanged for a token.
	TokenURL string
}

// Skipped is an operation that was left out.
type Skipped struct{ Method, Path, Reason string }

// Read reads a document. Its error says that the text is none; what is wrong
// with single operations is in Skipped.
func Read(text []byte) (*Document, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(text)
	d := &Document{root: root, Hash: "sha256:" + hex.EncodeToString(digest[:]), Schemes: map[string]Scheme{}}
	if err := d.format(); err != nil {
		return nil, err
	}
	info := inner(root, "info")
	d.Title = Clean(textOf(info["title"]), 120)
	d.Version = Clean(textOf(info["version"]), 40)
	d.Description = Clean(textOf(info["description"]), 2000)
	d.Servers = d.servers(root)
	d.schemes()
	d.paths()
	d.name()
	return d, nil
}

func (d *Document) format() error {
	d.Format = textOf(d.root["openapi"])
	if d.Format == "" {
		d.Format = textOf(d.root["swagger"])
		d.old = d.Format != ""
	}
	switch {
	case d.Format == "":
		return errors.New(`the document has neither "openapi" nor "swagger": it describes no API`)
	case d.old && !strings.HasPrefix(d.Format, "2"), !d.old && !strings.HasPrefix(d.Format, "3."):
		return fmt.Errorf("the document is written in version %s of the specification; 2.0, 3.0, 3.1 and 3.2 are known", short(d.Format, 20))
	}
	return nil
}

// textOf is v as text; numbers are written as versions often are.
func textOf(v any) string {
	switch v := v.(type) {
	case nil, object, []any:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

// servers are the URLs in the servers of the document, a path or an operation.
func (d *Document) servers(of object) []string {
	if d.old {
		return d.oldServers(of)
	}
	var urls []string
	for _, v := range list(of, "servers") {
		s, ok := v.(object)
		if !ok {
			continue
		}
		at := text(s, "url")
		for name, v := range inner(s, "variables") {
			if variable, ok := v.(object); ok {
				at = strings.ReplaceAll(at, "{"+name+"}", textOf(variable["default"]))
			}
		}
		if at != "" {
			urls = append(urls, at)
		}
	}
	return urls
}

func (d *Document) oldServers(of object) []string {
	host := text(of, "host")
	base := text(of, "basePath")
	if host == "" {
		if base == "" {
			return nil
		}
		return []string{base}
	}
	schemes := texts(list(of, "schemes"))
	if slices.Contains(schemes, "https") || len(schemes) == 0 {
		return []string{"https://" + host + base}
	}
	return []string{schemes[0] + "://" + host + base}
}

func (d *Document) schemes() {
	all := inner(inner(d.root, "components"), "securitySchemes")
	if d.old {
		all = inner(d.root, "securityDefinitions")
	}
	for name, v := range all {
		o, _, err := d.resolved(v)
		if err != nil {
			continue // operations that need it say so when they are refused
		}
		s := Scheme{Kind: text(o, "type"), In: text(o, "in"), Name: text(o, "name"), HTTP: strings.ToLower(text(o, "scheme"))}
		switch {
		case s.Kind == "basic":
			s.Kind, s.HTTP = "http", "basic"
		case s.Kind == "oauth2" && d.old:
			s.TokenURL = text(o, "tokenUrl")
		case s.Kind == "oauth2":
			s.TokenURL = text(inner(inner(o, "flows"), "clientCredentials"), "tokenUrl")
		}
		d.Schemes[name] = s
	}
}

// methods are those that a path may have, in the order of reports.
var methods = [...]string{"get", "head", "options", "trace", "query", "post", "put", "patch", "delete"}

func (d *Document) paths() {
	all := inner(d.root, "paths")
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(path, "x-") {
			continue
		}
		item, _, err := d.resolved(all[path])
		if err != nil {
			d.Skipped = append(d.Skipped, Skipped{"*", path, err.Error()})
			continue
		}
		for _, method := range methods {
			v, there := item[method]
			if !there {
				continue
			}
			op, err := d.operation(strings.ToUpper(method), path, item, v)
			if err != nil {
				d.Skipped = append(d.Skipped, Skipped{strings.ToUpper(method), path, err.Error()})
				continue
			}
			d.Operations = append(d.Operations, op)
		}
	}
}

// maxName is the longest name of an operation: with a server's name before it,
// it still fits what APIs of models accept (64 characters).
const maxName = 40

// name gives every operation a name that depends on nothing but itself, unless
// several would have the same: each of those gets a part of the hash of its
// method and path.
func (d *Document) name() {
	count := map[string]int{}
	for _, op := range d.Operations {
		count[strings.ToLower(op.Name)]++
	}
	for _, op := range d.Operations {
		if count[strings.ToLower(op.Name)] > 1 || len(op.Name) > maxName {
			digest := sha256.Sum256([]byte(op.Method + " " + op.Path))
			op.Name = strings.TrimRight(op.Name[:min(len(op.Name), maxName-7)], "_-") + "_" + hex.EncodeToString(digest[:3])
		}
	}
}

// Operation finds an operation by its name, its operationId or its method and
// path; nil when there is none.
func (d *Document) Operation(name string) *Operation {
	for _, op := range d.Operations {
		if op.Name == name {
			return op
		}
	}
	for _, op := range d.Operations {
		if op.ID != "" && op.ID == name || strings.EqualFold(op.Method+" "+op.Path, name) {
			return op
		}
	}
	return nil
}
