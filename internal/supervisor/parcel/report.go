package parcel

import "time"

// Report is what is told of a fetch when it has ended.
type Report struct {
	Package string   // with its version if it is known
	Level   string   // of the sandbox that it was fetched in
	Hosts   []string // from where it could come; none means every public address
	Bytes   int64    // that are installed
	Took    time.Duration
	Err     error // nil when it is there
	// Notes say what is less than it could be: no proxy, scripts that were not run.
	Notes []string
}
