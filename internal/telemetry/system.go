package telemetry

import (
	"runtime"
	"sync"
	"time"
)

// Facts tell how the process and its machine are. A fact that this system does
// not tell is nil, and absent in JSON.
type Facts struct {
	UptimeSeconds float64  `json:"uptime_seconds"`
	Goroutines    int      `json:"goroutines"`
	RSSBytes      *uint64  `json:"process_rss_bytes,omitempty"`
	ProcessCPU    *float64 `json:"process_cpu_seconds,omitempty"`
	OpenFiles     *int     `json:"process_open_files,omitempty"`
	// CPUPercent is how busy all processors were since the last look, or since
	// the start, from 0 to 100.
	CPUPercent    *float64 `json:"cpu_percent,omitempty"`
	Load1         *float64 `json:"load_1m,omitempty"`
	MemoryPercent *float64 `json:"memory_percent,omitempty"`
	MemoryTotal   *uint64  `json:"memory_total_bytes,omitempty"`
	// DiskPercent is of the file system that holds the working directory.
	DiskPercent *float64 `json:"disk_percent,omitempty"`
}

// minLook is the shortest time between two looks at the processors: their
// counters move in steps of 10 ms.
const minLook = 200 * time.Millisecond

// system remembers the last look at the processors.
type system struct {
	mu      sync.Mutex // guards what follows
	at      time.Time
	last    ticks
	percent *float64
}

// ticks are what the processors did since the machine started, in any unit.
type ticks struct{ busy, all uint64 }

// Facts looks at the process and its machine. It reads a handful of small
// files and takes well below a millisecond.
func (t *Telemetry) Facts() Facts {
	f := Facts{UptimeSeconds: time.Since(t.started).Seconds(), Goroutines: runtime.NumGoroutine()}
	f.readProcess()
	f.readMachine()
	f.CPUPercent = t.system.cpuPercent(time.Now())
	return f
}

func (s *system) cpuPercent(now time.Time) *float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.at) < minLook {
		return s.percent
	}
	next, ok := readTicks()
	if !ok {
		return nil
	}
	if all := next.all - s.last.all; all > 0 && next.all > s.last.all && next.busy >= s.last.busy {
		percent := 100 * float64(next.busy-s.last.busy) / float64(all)
		s.percent = &percent
	}
	s.at, s.last = now, next
	return s.percent
}

func percent(used, total uint64) *float64 {
	if total == 0 {
		return nil
	}
	p := 100 * float64(used) / float64(total)
	return &p
}
