package parcel

import "time"

// Report is what is told of a fetch when it has ended.
type Report struct {
	Package string   // with its version if it is known
	Level   string   // of the sandbox that it was fetched in
	Hosts   []string // from where it could come; none means every public address
	Bytes   int64    // that are installed
	Traffic int64    // bytes that came over the network for it; 0 where there was no proxy to count them
	Took    time.Duration
	Err     error // nil when it is there
	// Notes say what is less than it could be: no proxy, scripts that were not run.
	Notes []string
}
