// Package tasks tests calls that servers make tasks of, through the whole
// gateway: with a real server and a real client of the 2025-11-25 dialect, and
// a scripted server of the extension io.modelcontextprotocol/tasks.
//
// The package has tests only. It does not know how the gateway drives a task,
// only what the two sides see of it.
package tasks
