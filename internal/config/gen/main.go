// Command gen writes the manual of the configuration file, docs/config.md, and its JSON Schema,
// docs/dragoman.schema.json, from the structs of package config: their comments are the text, their tags the facts.
//
// It does not know what any key is for.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	docs := flag.String("docs", "docs", "directory to write to")
	source := flag.String("source", ".", "directory of package config")
	flag.Parse()
	if err := run(*source, *docs); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(source, docs string) error {
	files, err := generate(source)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(docs, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate gives the generated files by name.
func generate(source string) (map[string][]byte, error) {
	comments, err := readComments(source)
	if err != nil {
		return nil, err
	}
	schema, err := schemaFile(comments)
	if err != nil {
		return nil, err
	}
	manual, err := manualFile(comments)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"dragoman.schema.json": schema, "config.md": manual}, nil
}
