// Package plan writes answers as JSON by a plan that is made once for each Go
// type, and judges and reads arguments by one that is made of a schema and a
// type. What a plan cannot do is left to encoding/json and to the schema's own
// validator, which remain the definition of what is right.
//
// It does not know what a tool is, nor what the answers mean.
package plan
