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
const heapFloor = 16 << 20

// holdFloor sets the floor until release is called.
func holdFloor() (release func()) {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}

// When memory is given back to the system: after half a second of quiet, if enough has been used since the last time. Taking
// it away between bursts that follow each other would cost more than it gives. Stacks shrink by half with each round.
const (
	trimEvery  = 100 * time.Millisecond
	trimAfter  = 5         // that many times in a row it was quiet
	trimQuiet  = 100 << 10 // bytes allocated in that time that still count as quiet
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
	quiet, rounds := 0, trimRounds-1 // once after the start
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(sample)
		now := sample[0].Value.Uint64()
		quiet++
		if now-before >= trimQuiet {
			quiet = 0
		}
		before = now
		if now-trimmed > trimWorth {
			rounds = 0
		}
		if quiet >= trimAfter && rounds < trimRounds {
			debug.FreeOSMemory()
			letCodeGo()
			rounds++
			trimmed = now
		}
	}
}
