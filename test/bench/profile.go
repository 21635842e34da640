package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
)

// profile writes a CPU profile of the gateway while a scenario is measured, if one was asked for. What it returns waits for that.
func (b *bench) profile(ctx context.Context, round int, s scenario, peers []load.Peer) (wait func()) {
	if b.settings.profile == "" || round > 0 {
		return func() {}
	}
	var work sync.WaitGroup
	for _, p := range peers {
		if p.Name == gatewayPeer {
			work.Go(func() {
				if err := b.takeProfile(ctx, s.name, p.Target, time.Duration(len(peers))*b.settings.window); err != nil {
					b.remark("%s: no profile: %v", s.name, err)
				}
			})
		}
	}
	return work.Wait
}

func (b *bench) takeProfile(ctx context.Context, name string, target load.Target, d time.Duration) error {
	seconds := max(1, int(d.Seconds()))
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", target.Addr, seconds)
	text, status, err := getWithin(ctx, time.Duration(seconds+10)*time.Second, url, target.Tokens...)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("status %d", status)
	}
	return os.WriteFile(filepath.Join(b.settings.profile, name+".pprof"), text, 0o600)
}
