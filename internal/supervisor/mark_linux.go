package supervisor

import (
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// A mark tells the descendants of one child from those of another after they have come back to the guard as orphans,
// with another session, group, environment and parent than they began with. What a process inherits through every fork
// and exec, and may lower but never raise, is a hard resource limit. We take RLIMIT_RTTIME, the time that a process
// under a real-time scheduler may run without a pause, at some 2^62 µs: 146,000 years limit nobody. The guard lowers
// its own limit by a random step before each start, and the child inherits that value. No privilege is needed.
//
// A process that lowers the limit itself (only sound servers do) loses its mark, and the guard then ends it when its
// parent ends. Where the limit cannot be set (gVisor), orphans are told apart by their process group alone.

// firstMark is below infinity and far above any limit that means something.
const firstMark = 1 << 62

// maxMarkStep makes two marks of a guard, or of a guard within a guard, differ; 2^62 of room last for 2^31 starts.
const maxMarkStep = 1 << 31

// nextMark gives this process a new mark, which its next child inherits. It is 0 when marks do not work here.
func nextMark() uint64 {
	var now unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_RTTIME, nil, &now); err != nil {
		return 0
	}
	mark := min(now.Max, firstMark) - 1 - rand.Uint64N(maxMarkStep)
	if mark > firstMark {
		return 0 // the room is used up, which wraps around
	}
	limit := unix.Rlimit{Cur: mark, Max: mark}
	if err := unix.Prlimit(0, unix.RLIMIT_RTTIME, &limit, nil); err != nil {
		return 0
	}
	return mark
}

// markOf reads the mark of another process; 0 when it has ended, is not ours, or has none.
func markOf(pid int) uint64 {
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_RTTIME, nil, &limit); err != nil || limit.Max > firstMark {
		return 0
	}
	return limit.Max
}
