//go:build !linux

package slack

// Late does nothing: how late timers may be cannot be said here.
func Late() {}
