package clients

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"

	"github.com/dragoman-mcp/dragoman/internal/config/dialect"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// parseTOML gives the nodes that YAML of the same content has, without lines: the library does not tell them.
func parseTOML(path string, data []byte) (*yaml.Node, error) {
	var values map[string]any
	if err := toml.Unmarshal(data, &values); err != nil {
		place := strict.Place{File: path}
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			place.Line, place.Column = decode.Position()
		}
		return nil, strict.Faults{{Place: place, Problem: "is not TOML: " + err.Error()}}
	}
	return tomlNode(values), nil
}

func tomlNode(value any) *yaml.Node {
	scalar := func(tag, text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text} }
	switch v := value.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, scalar("!!str", key), tomlNode(v[key]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range v {
			n.Content = append(n.Content, tomlNode(item))
		}
		return n
	case bool:
		return scalar("!!bool", strconv.FormatBool(v))
	case int64:
		return scalar("!!int", strconv.FormatInt(v, 10))
	case float64:
		return scalar("!!float", strconv.FormatFloat(v, 'g', -1, 64))
	case time.Time:
		return scalar("!!str", v.Format(time.RFC3339Nano))
	default:
		return scalar("!!str", fmt.Sprint(v))
	}
}

// recognise gives a client for a file of an unknown one, by the key that its servers are under.
func recognise(path string, at Locations) (Client, error) {
	root, err := parse(path)
	if err != nil {
		return Client{}, err
	}
	kinds := []struct {
		key       string
		translate dialect.Translate
	}{
		{"mcpServers", dialect.Standard}, {"mcp_servers", dialect.Codex}, {"context_servers", dialect.Zed},
		{"mcp.servers", dialect.Standard}, {"mcp", dialect.OpenCode}, {"extensions", dialect.Goose}, {"servers", dialect.Standard},
	}
	for _, k := range kinds {
		if n := descend(root, k.key); n != nil && n.Kind == yaml.MappingNode {
			return Client{ID: "file", Title: path, Files: []File{{Path: path, Key: k.key}}, translate: k.translate,
				rules: dialect.Context{Home: at.Home}}, nil
		}
	}
	return Client{}, strict.Faults{{Place: strict.Place{File: path}, Problem: "has no servers in it",
		Remedy: "the keys that are looked for are mcpServers, servers, mcp_servers, context_servers, mcp and extensions"}}
}
