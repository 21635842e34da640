package app

import "runtime"

// heapFloor is memory that is set aside and never touched, so that it costs
// nothing but counts as live when the collector decides when to run next: with
// few megabytes in use it would run all the time (docs/performance.md).
const heapFloor = 48 << 20

// holdFloor sets the floor until release is called.
func holdFloor() (release func()) {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
