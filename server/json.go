package server

import "github.com/dragoman-mcp/dragoman/server/internal/plan"

// JSON is JSON text that has been checked. As a part of an answer it is written
// as it is, where a json.RawMessage is checked once more.
type JSON = plan.Checked

// CheckJSON checks JSON text, and leaves out the white space between its parts.
// A byte that is not UTF-8 becomes U+FFFD.
func CheckJSON(raw []byte) (JSON, error) { return plan.Check(raw) }
