package app

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapFloor is memory that is set aside and never touched, so that it costs
// nothing but counts as live when the collector decides when to run next: with
// few megabytes in use it would run all the time (docs/performance.md).
const heapFloor = 48 << 20

// holdFloor sets the floor until release is called.
func holdFloor() (release func()) {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}

// When memory is given back to the system: in quiet times, if enough has been
// used since the last time. Stacks shrink by half with each round.
const (
	trimEvery  = 250 * time.Millisecond
	trimQuiet  = 256 << 10 // bytes allocated in that time that still count as quiet
	trimWorth  = 4 << 20   // bytes allocated since the last time that make it worth the work
	trimRounds = 4
)

// trim gives memory back in quiet times, until ctx ends. Without it a burst of
// streams or calls would leave its garbage until the next one.
func trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var before, trimmed uint64
	rounds := trimRounds
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(sample)
		now := sample[0].Value.Uint64()
		quiet := now-before < trimQuiet
		before = now
		if now-trimmed > trimWorth {
			rounds = 0
		}
		if quiet && rounds < trimRounds {
			debug.FreeOSMemory()
			rounds++
			trimmed = now
		}
	}
}
