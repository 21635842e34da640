//go:build !linux

package sandbox

import "context"

// Probe reports that this system starts children with a clean environment and
// their own process group, and no more.
func Probe(context.Context) Report {
	return Report{Missing: "sandboxes are built on Linux only", Groups: "control groups are on Linux only"}
}

// ShimMain does nothing on this system: children are started directly.
func ShimMain([]string) {}
