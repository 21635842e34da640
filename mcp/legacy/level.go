package legacy

import "slices"

// levels returns the log levels of the protocol, least severe first
// (RFC 5424, 6.2.1).
func levels() []string {
	return []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}
}

// severity orders levels; -1 for a level that does not exist.
func severity(level string) int { return slices.Index(levels(), level) }
