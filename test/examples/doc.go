// Package examples runs what is in the directory examples the way its readers
// do: by its configuration alone. It does not know how the servers are made.
package examples
