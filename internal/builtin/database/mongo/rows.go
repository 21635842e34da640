package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// pouring hands over documents as JSON.
type pouring struct {
	rows  engine.Rows
	skip  int
	most  int
	paths []string
	row   []byte
}

func columns(f *engine.Find) []engine.Column {
	all := make([]engine.Column, len(f.Names))
	for i, name := range f.Names {
		all[i].Name = name
	}
	return all
}

// wanted says whether the next document is to be handed over, and whether there
// may be others after it.
func (p *pouring) wanted() (this, more bool) {
	if p.skip > 0 {
		p.skip--
		return false, true
	}
	p.most--
	return p.most >= 0, p.most >= 0
}

func (p *pouring) document(doc bson.Raw) (more bool, err error) {
	this, more := p.wanted()
	if !this {
		return more, nil
	}
	if len(p.paths) > 0 {
		p.row, err = appendRow(p.row[:0], doc, p.paths)
	} else {
		p.row, err = appendDocument(p.row[:0], doc)
	}
	return err == nil && p.rows.Row(p.row), err
}

// value hands over one value under a name, or as the only column.
func (p *pouring) value(name string, value bson.RawValue) (more bool, err error) {
	this, more := p.wanted()
	if !this {
		return more, nil
	}
	open, end := byte('['), byte(']')
	if len(p.paths) == 0 {
		open, end = '{', '}'
	}
	p.row = append(p.row[:0], open)
	if len(p.paths) == 0 {
		p.row = append(engine.AppendText(p.row, name), ':')
	}
	p.row, err = appendValue(p.row, value)
	p.row = append(p.row, end)
	return err == nil && p.rows.Row(p.row), err
}

// appendRow appends the list of the values at paths; what is not there is null.
func appendRow(b []byte, doc bson.Raw, paths []string) ([]byte, error) {
	b = append(b, '[')
	for i, path := range paths {
		if i > 0 {
			b = append(b, ',')
		}
		value, found := at(doc, path)
		if !found {
			b = append(b, "null"...)
			continue
		}
		var err error
		if b, err = appendValue(b, value); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

// at finds the value of a path. Where a list is on the way, the value is the list:
// which of its items is meant, a path does not say.
func at(doc bson.Raw, path string) (bson.RawValue, bool) {
	first, rest, more := strings.Cut(path, ".")
	value, err := doc.LookupErr(first)
	if err != nil {
		return bson.RawValue{}, false
	}
	inner, is := value.DocumentOK()
	switch {
	case !more || value.Type == bson.TypeArray:
		return value, true
	case !is:
		return bson.RawValue{}, false
	}
	return at(inner, rest)
}

// told makes of what the server says something that the caller can act on.
func told(ctx context.Context, err error) error {
	var refused *engine.Error
	var fault mongo.CommandError
	switch {
	case err == nil, errors.As(err, &refused):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case strings.Contains(err.Error(), "auth error"), errors.As(err, &fault) && (fault.Code == 18 || fault.Code == 8000): // AuthenticationFailed, and Atlas's
		return fmt.Errorf("%w: %w", engine.ErrLogin, err)
	case !errors.As(err, &fault) && (mongo.IsTimeout(err) || mongo.IsNetworkError(err) || strings.Contains(err.Error(), "server selection error")):
		return fmt.Errorf("%w: %w", engine.ErrUnreachable, err)
	case !errors.As(err, &fault):
		return err
	}
	switch fault.Code {
	case 50: // MaxTimeMSExpired
		return engine.Refuse("ask for less, or add conditions that an index helps with", "%s", fault.Message)
	case 13: // Unauthorized
		return engine.Refuse("call schema to see what may be read", "the role may not do this")
	case 26, 48: // NamespaceNotFound, NamespaceExists
		return engine.Refuse("call schema to see the collections", "%s", fault.Message)
	}
	return engine.Refuse("look at the collections and fields with schema", "%s", fault.Message)
}
