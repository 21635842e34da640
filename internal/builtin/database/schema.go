package database

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server"
)

const schemaOut = `{"type":"object","properties":{"objects":{"type":"array","items":{"type":"object"}},"truncated":{"type":"boolean"},"next_cursor":{"type":"string"}},"required":["objects","truncated"]}`

type schemaInput struct {
	Source string `json:"source,omitempty"`
	Search string `json:"search,omitempty" jsonschema:"words that a name must have; all when left out"`
	Detail string `json:"detail,omitempty" jsonschema:"full has keys, indexes, comments" enum:"names|columns|full" default:"names"`
	Cursor string `json:"cursor,omitempty"`
}

type schemaAnswer struct {
	Objects []object `json:"objects"`
	server.Page
}

// object is a table as the tool tells it, in one of three levels of detail.
type object struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Rows    *int64   `json:"rows,omitempty"`
	Comment string   `json:"comment,omitempty"`
	Columns []field  `json:"columns,omitempty"`
	Key     []string `json:"key,omitempty"`
	Indexes []string `json:"indexes,omitempty"`
}

type field struct {
	Name       string `json:"name"`
	Type       string `json:"type,omitempty"`
	Required   bool   `json:"required,omitempty"`
	Default    string `json:"default,omitempty"`
	References string `json:"references,omitempty"`
	Comment    string `json:"comment,omitempty"`
}

func (d *database) schema(ctx context.Context, c *server.Call, in schemaInput) (schemaAnswer, error) {
	src, err := d.pick(in.Source)
	if err != nil {
		return schemaAnswer{}, err
	}
	skip := 0
	if in.Cursor != "" {
		if err := c.Resume(in.Cursor, &skip); err != nil {
			return schemaAnswer{}, err
		}
	}
	objects, err := src.list(ctx)
	if err != nil {
		return schemaAnswer{}, src.told(ctx, err)
	}
	out := schemaAnswer{Objects: []object{}}
	for i, o := range objects {
		if i < skip || !matches(o, words(in.Search)) {
			continue
		}
		shown := show(o, in.Detail)
		text, err := json.Marshal(shown)
		if err != nil {
			return schemaAnswer{}, err
		}
		if !c.Budget.Row(text) {
			if len(out.Objects) == 0 {
				return schemaAnswer{}, server.Errorf("ask for detail names or columns", "the description of %s is larger than an answer may be", o.Name)
			}
			out.Page = c.More(i)
			break
		}
		out.Objects = append(out.Objects, shown)
	}
	switch {
	case len(objects) == 0:
		c.Text("There is nothing that may be read.")
	case len(out.Objects) == 0:
		c.Text("Nothing matches; call schema without search to see all names.")
	}
	c.Untrusted("schema of " + src.name)
	return out, nil
}

// matches says whether each word is in the name of an object or of one of its columns.
func matches(o engine.Object, words []string) bool {
	for _, word := range words {
		found := strings.Contains(strings.ToLower(o.Schema+"."+o.Name), word) || strings.Contains(strings.ToLower(o.Comment), word)
		for _, f := range o.Columns {
			found = found || strings.Contains(strings.ToLower(f.Name), word)
		}
		if !found {
			return false
		}
	}
	return true
}

func show(o engine.Object, detail string) object {
	out := object{Name: qualified(o), Kind: o.Kind}
	if detail != "columns" && detail != "full" {
		return out
	}
	for _, f := range o.Columns {
		shown := field{Name: f.Name, Type: f.Type}
		if detail == "full" {
			shown = field{Name: f.Name, Type: f.Type, Required: f.Required, Default: f.Default, References: f.References, Comment: f.Comment}
		}
		out.Columns = append(out.Columns, shown)
	}
	if detail == "full" {
		out.Comment, out.Key, out.Indexes = o.Comment, o.Keys, o.Indexes
		if o.Rows >= 0 {
			out.Rows = &o.Rows
		}
	}
	return out
}

func qualified(o engine.Object) string {
	if o.Schema == "" {
		return o.Name
	}
	return o.Schema + "." + o.Name
}

// addResources makes the schema of each source a resource, and each object one by template.
func (d *database) addResources(s *server.Server) {
	for _, name := range d.names {
		s.SDK().AddResource(&sdk.Resource{
			URI: "database://" + url.PathEscape(name) + "/schema", Name: name + "-schema", Title: "Schema of " + name,
			Description: "All tables and views with their columns.", MIMEType: "application/json",
		}, d.readSchema)
	}
	s.SDK().AddResourceTemplate(&sdk.ResourceTemplate{
		URITemplate: "database://{source}/schema/{object}", Name: "object", Title: "One table or view", MIMEType: "application/json",
	}, d.readSchema)
}

const maxResource = 1 << 20 // bytes of a schema as a resource

func (d *database) readSchema(ctx context.Context, r *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
	u, err := url.Parse(r.Params.URI)
	if err != nil {
		return nil, sdk.ResourceNotFoundError(r.Params.URI)
	}
	src := d.sources[u.Host]
	wanted, one := strings.CutPrefix(u.Path, "/schema/")
	if src == nil || !one && u.Path != "/schema" {
		return nil, sdk.ResourceNotFoundError(r.Params.URI)
	}
	objects, err := src.list(ctx)
	if err != nil {
		return nil, src.told(ctx, err)
	}
	shown, size := []object{}, 0
	for _, o := range objects {
		if one && qualified(o) != wanted {
			continue
		}
		item := show(o, map[bool]string{true: "full", false: "columns"}[one])
		text, err := json.Marshal(item)
		if err != nil {
			return nil, err
		}
		if size += len(text); size > maxResource {
			break
		}
		shown = append(shown, item)
	}
	if one && len(shown) == 0 {
		return nil, sdk.ResourceNotFoundError(r.Params.URI)
	}
	text, err := json.Marshal(map[string]any{"objects": shown, "truncated": size > maxResource})
	if err != nil {
		return nil, err
	}
	return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{URI: r.Params.URI, MIMEType: "application/json", Text: string(text)}}}, nil
}
