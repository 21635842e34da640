//go:build !linux

package app

// letCodeGo does nothing where there is no way to.
func letCodeGo() {}
