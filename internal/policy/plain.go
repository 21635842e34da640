package policy

import (
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// plain says of an object inside the parameters that it means the same to whoever reads it: no member differs from one
// of names by case alone. Readers that compare without regard to case (Go's encoding/json, for one) would take `Name`
// for `name`, and what was decided on were not what is done. Of the parameters themselves jsonrpc sees to that.
func plain(what string, o jsonrpc.Object, names ...string) error {
	for _, member := range o.Members() {
		for _, name := range names {
			if member.Name != name && strings.EqualFold(member.Name, name) {
				return mcp.Errorf(jsonrpc.CodeInvalidParams, "%s has the member %q, which readers take for another", what, member.Name)
			}
		}
	}
	return nil
}

// reference says whether a completion tells clearly what it is for: its type says by which other member, and there may
// be both.
func reference(req *mcp.Request) error {
	ref, _ := jsonrpc.Split(req.Params.Get("ref"))
	if err := plain("ref", ref, "type", "name", "uri"); err != nil {
		return err
	}
	if kind, _ := ref.String("type"); !slices.Contains([]string{refPrompt, refResource}, kind) {
		return mcp.Errorf(jsonrpc.CodeInvalidParams, "ref.type must be %q or %q", refPrompt, refResource)
	}
	return nil
}

// The types of what a completion is for.
const (
	refPrompt   = "ref/prompt"
	refResource = "ref/resource"
)

// completed is what a completion is for.
func completed(server string, req *mcp.Request) Resource {
	ref, _ := jsonrpc.Split(req.Params.Get("ref"))
	if kind, _ := ref.String("type"); kind == refResource {
		uri, _ := ref.String("uri")
		return Resource{Kind: ofResource, Server: server, Name: uri}
	}
	name, _ := ref.String("name")
	return Resource{Kind: ofPrompt, Server: server, Name: name}
}
