//go:build linux

package faults

import (
	"sync"
	"time"
)

// clock runs as long as the tests do.
var clock lateness

// lateness is how late timers have been of late: how busy the machine is with
// other things, which is no fault of the gateway.
type lateness struct {
	mu    sync.Mutex // guards worst
	worst [30]time.Duration
}

// watch looks every 10 ms, and keeps the worst of each of the last 30 seconds.
func (l *lateness) watch() {
	begin := time.Now()
	for {
		due := time.Now().Add(10 * time.Millisecond)
		<-time.After(time.Until(due))
		late := time.Since(due)
		second := int(time.Since(begin)/time.Second) % len(l.worst)
		before := int(due.Sub(begin)/time.Second) % len(l.worst)
		l.mu.Lock()
		if second != before {
			l.worst[second] = 0
		}
		l.worst[second] = max(l.worst[second], late)
		l.mu.Unlock()
	}
}

// slack is what a busy machine may add to any time: with several processes and
// many goroutines on the way of a call, several times as much as one timer is late.
func slack() time.Duration {
	clock.mu.Lock()
	defer clock.mu.Unlock()
	worst := time.Duration(0)
	for _, late := range clock.worst {
		worst = max(worst, late)
	}
	return min(2*time.Second+10*worst, 15*time.Second)
}
