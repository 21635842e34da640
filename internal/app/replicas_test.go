package app_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	peers "github.com/dragoman-mcp/dragoman/test/servers"
)

// P17, over the wire: three gateways with one Redis let as much through together as one would.
func TestThreeGatewaysCountTogether(t *testing.T) {
	const token, each = "ann-0123456789abcdef", 100
	redis := peers.Redis(t)
	for _, c := range []struct {
		name, rule string
		most       func(took time.Duration) int
		exact      bool
	}{
		{"a day's calls", "{per: principal, per_day: 120}", func(time.Duration) int { return 120 }, true},
		{"a rate", "{per: principal-tool, rate: 60, every: 1m, burst: 10}", func(took time.Duration) int { return 10 + int(took.Minutes()*60*1.05) + 1 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var urls []string
			for range 3 {
				_, _, url := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nauth: {tokens: [{name: ann, token: %s}]}\nservers: {time: {builtin: time}}\n"+
					"rates: {redis: %q, prefix: %q, replicas: 3, timeout: 10s, calls: [%s]}\n", token, redis, c.name+":", c.rule))
				urls = append(urls, url)
			}
			var passed, held atomic.Int64
			begun := time.Now()
			var callers sync.WaitGroup
			for _, url := range urls {
				for range 2 {
					callers.Go(func() {
						for range each / 2 {
							switch got := stateless(t, url, []string{"Authorization", "Bearer " + token}); {
							case strings.Contains(got, "utc_offset"):
								passed.Add(1)
							case strings.Contains(got, "retryAfterSeconds"):
								held.Add(1)
							default:
								t.Errorf("got %s, want the time or how long to wait", got)
							}
						}
					})
				}
			}
			callers.Wait()
			if begun.UTC().Day() != time.Now().UTC().Day() {
				t.Skip("a day has ended meanwhile, and with it what was counted")
			}
			most := c.most(time.Since(begun))
			if got := int(passed.Load()); got > most || got == 0 || c.exact && got != most || got+int(held.Load()) != 3*each {
				t.Errorf("of %d calls at three gateways %d passed and %d were held back, want %d (at most, for a rate)", 3*each, got, held.Load(), most)
			}
		})
	}
}
