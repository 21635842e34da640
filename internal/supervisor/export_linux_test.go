package supervisor

import (
	"context"
	"time"
)

// ParseStat is parseStat with pages of 4096 bytes.
func ParseStat(stat []byte) (parent, group int, rss int64, cpu time.Duration, ok bool) {
	p, ok := parseStat(stat, 4096)
	return p.parent, p.group, p.rss, p.cpu, ok
}

// WithoutGroups lets s behave as on a system without control groups.
func WithoutGroups(s *Supervisor) {
	r := s.Sandboxes(context.Background())
	r.Bounded, r.Groups = false, "taken away by a test"
	s.probed = &r
}
