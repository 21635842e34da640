package sqlite

import (
	_ "embed"
	"strings"
)

//go:embed sample.sql
var sample string

// sampleStatements are those of the sample, which end with a semicolon and an empty line.
func sampleStatements() []string {
	return strings.Split(strings.TrimSuffix(strings.TrimSpace(sample), ";"), ";\n\n")
}
