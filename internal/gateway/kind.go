package gateway

import "github.com/dragoman-mcp/dragoman/mcp"

// kind is one of the lists that a server has, in the order of mcp.Lists; the last
// is told of with resources.
type kind int

const (
	tools kind = iota
	prompts
	resources
	templates
	kindCount
)

// kindOf returns the list that method asks for.
func kindOf(method string) (kind, bool) {
	for k := range kindCount {
		if k.method() == method {
			return k, true
		}
	}
	return 0, false
}

func (k kind) method() string {
	return [...]string{"tools/list", "prompts/list", "resources/list", "resources/templates/list"}[k]
}

// member is the result's member with the entries.
func (k kind) member() string {
	return [...]string{"tools", "prompts", "resources", "resourceTemplates"}[k]
}

// key is the entry's member that identifies it.
func (k kind) key() string {
	return [...]string{"name", "name", "uri", "uriTemplate"}[k]
}

// announced is how its changes are asked for and told of.
func (k kind) announced() mcp.List { return mcp.Lists()[min(k, resources)] }

// capability is what a server announces that has the list.
func (k kind) capability() string { return k.announced().Capability }

// changed is the notification that the list has changed.
func (k kind) changed() string { return k.announced().Changed }

// named reports whether entries have names that clash between servers.
func (k kind) named() bool { return k == tools || k == prompts }
