//go:build !linux

package telemetry

// readProcess finds nothing on this system.
func (f *Facts) readProcess() {}

// readMachine finds nothing on this system.
func (f *Facts) readMachine() {}

func readTicks() (ticks, bool) { return ticks{}, false }
