package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

//go:generate go generate ../../internal/config
//go:generate go test -run TestGeneratedFilesAreFresh . -args -write

// schemaText is docs/dragoman.schema.json, which a file outside of this
// directory cannot be embedded from.
//
//go:embed dragoman.schema.json
var schemaText []byte

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration as it is understood, or its schema",
		GroupID: groupSet,
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShow(), newConfigSchema())
	return cmd
}

func newConfigSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Args:  nothingMore,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(schemaText)
			return err
		},
	}
}

func newConfigShow() *cobra.Command {
	src := &source{}
	origin, everything := false, false
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show every value that counts, and where it came from",
		Long: `Show the configuration as it is understood: references resolved, defaults filled
in, secrets hidden. Of each server only what it does not inherit is shown; --all
shows the rest too.`,
		Args: nothingMore,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := src.load()
			if err != nil {
				return err
			}
			w := writer{origins: cfg.Origins, comment: origin, everything: everything}
			encoder := yaml.NewEncoder(cmd.OutOrStdout())
			encoder.SetIndent(2)
			if err := encoder.Encode(w.section(reflect.ValueOf(*cfg), "")); err != nil {
				return fmt.Errorf("write configuration: %w", err)
			}
			return encoder.Close()
		},
	}
	src.flags(cmd)
	cmd.Flags().BoolVar(&origin, "origin", false, "say beside each value where it came from")
	cmd.Flags().BoolVar(&everything, "all", false, "show what servers inherit and what is empty, too")
	return cmd
}

// writer makes YAML of a configuration.
type writer struct {
	origins             map[string]string
	comment, everything bool
}

func (w writer) section(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range strict.Fields(v.Type()) {
		at := strings.TrimPrefix(path+"."+f.Key, ".")
		value := v.FieldByIndex(f.Index)
		if w.everything || !w.boring(value, at) {
			n.Content = append(n.Content, scalar(f.Key), w.value(value, at, f.Unit))
		}
	}
	return n
}

// boring is what says nothing: an empty list or text, and what a server has by
// default or from the section defaults.
func (w writer) boring(v reflect.Value, path string) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String:
		if v.Len() == 0 {
			return true
		}
	case reflect.Struct:
		return len(w.section(v, path).Content) == 0
	}
	if !strings.HasPrefix(path, "servers.") {
		return false
	}
	return w.origins[path] == "default" || strings.HasPrefix(w.origins[path], "defaults.")
}

func (w writer) value(v reflect.Value, path, unit string) *yaml.Node {
	switch value := v.Interface().(type) {
	case config.Secret:
		return w.leaf(scalar(value.String()), path)
	case json.RawMessage:
		var settings yaml.Node
		if yaml.Unmarshal(value, &settings) != nil || len(settings.Content) == 0 {
			return scalar("")
		}
		return settings.Content[0]
	case fmt.Stringer: // durations and sizes
		return w.leaf(&yaml.Node{Kind: yaml.ScalarNode, Value: short(value.String())}, path)
	}
	switch v.Kind() {
	case reflect.String:
		return w.leaf(scalar(v.String()), path)
	case reflect.Struct:
		return w.section(v, path)
	case reflect.Map:
		return w.table(v, path)
	case reflect.Slice:
		return w.list(v, path)
	}
	return w.leaf(&yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v.Interface()) + unit}, path)
}

func (w writer) table(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	names := make(map[string]reflect.Value)
	for _, key := range v.MapKeys() {
		names[key.String()] = key
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n.Content = append(n.Content, scalar(name), w.value(v.MapIndex(names[name]), path+"."+name, ""))
	}
	return n
}

// list stands on one line where its entries are texts.
func (w writer) list(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	if v.Type().Elem().Kind() == reflect.String {
		n.Style = yaml.FlowStyle
	}
	entries := w
	entries.comment = w.comment && n.Style != yaml.FlowStyle
	for i := range v.Len() {
		n.Content = append(n.Content, entries.value(v.Index(i), fmt.Sprintf("%s[%d]", path, i), ""))
	}
	return w.leaf(n, path)
}

// leaf notes beside a value where it came from.
func (w writer) leaf(n *yaml.Node, path string) *yaml.Node {
	if origin, ok := w.origins[path]; ok && w.comment {
		n.LineComment = origin
	}
	return n
}

// short leaves out the zeros that a duration ends in: 5m, not 5m0s.
func short(text string) string {
	for _, zeros := range []string{"0s", "0m"} {
		if rest := strings.TrimSuffix(text, zeros); rest != text && strings.HasSuffix(rest, map[string]string{"0s": "m", "0m": "h"}[zeros]) {
			text = rest
		}
	}
	return text
}

func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}
