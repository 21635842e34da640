package supervisor

import (
	"math/rand/v2"
	"time"
)

// record is what decides when a child that ended may start again. The zero record is a child that never failed.
type record struct {
	row   int         // exits in a row without a healthy process between them
	times []time.Time // of the last exits, at most CrashCount
	loop  bool        // in a crash loop, until a process has proved healthy
}

// verdict is what follows from an exit.
type verdict struct {
	wait time.Duration // until the next start
	loop bool          // starts are refused meanwhile, not delayed
}

func (v verdict) state() State {
	if v.loop {
		return StateCrashLoop
	}
	return StateBackoff
}

// exited notes that a process ended by itself (or did not start) after uptime.
func (r *record) exited(spec *Spec, now time.Time, uptime time.Duration) verdict {
	if uptime >= spec.MaxBackoff {
		*r = record{}
	}
	r.row++
	r.times = append(r.times, now)
	if over := len(r.times) - spec.CrashCount; over > 0 {
		r.times = append(r.times[:0], r.times[over:]...)
	}
	if len(r.times) == spec.CrashCount && now.Sub(r.times[0]) <= spec.CrashWindow {
		r.loop = true
	}
	if r.loop {
		return verdict{wait: jitter(spec.MaxBackoff), loop: true}
	}
	return verdict{wait: jitter(doubled(spec.MinBackoff, spec.MaxBackoff, r.row-1))}
}

// doubled is first doubled n times, but at most limit.
func doubled(first, limit time.Duration, n int) time.Duration {
	d := first
	for range n {
		if d >= limit/2 {
			return limit
		}
		d *= 2
	}
	return min(d, limit)
}

// jitter is random between half of d and d, so that children that failed together do not start together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
