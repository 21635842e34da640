package gateway

import (
	"sync"
	"time"
)

// remindEvery is how often the log is told again of something that still does not
// work.
const remindEvery = 10 * time.Minute

// troubles are the questions that a server does not answer. The log is told when
// that begins and when it ends, with how often it was tried.
type troubles struct {
	mu       sync.Mutex // guards what follows
	byMethod map[string]*trouble
}

type trouble struct {
	since, told time.Time
	failures    int
}

// note takes how a question of the gateway's own to the server ended.
func (sh *shelf) note(method string, err error) {
	if sh.ctx.Err() != nil {
		return // it is the gateway that does not want an answer any more
	}
	log, now := sh.gateway.o.Log.With("server", sh.server.Name, "method", method), sh.gateway.o.Now()
	sh.troubles.mu.Lock()
	defer sh.troubles.mu.Unlock()
	t := sh.troubles.byMethod[method]
	switch {
	case err == nil && t == nil:
		return
	case err == nil:
		delete(sh.troubles.byMethod, method)
		log.Info("server answers the gateway again", "failures", t.failures, "since", t.since)
		return
	case t == nil:
		t = &trouble{since: now, told: now}
		if sh.troubles.byMethod == nil {
			sh.troubles.byMethod = make(map[string]*trouble)
		}
		sh.troubles.byMethod[method] = t
		log.Warn("server does not answer the gateway, it is asked again", "err", err)
	case now.Sub(t.told) >= remindEvery:
		t.told = now
		log.Warn("server still does not answer the gateway", "failures", t.failures+1, "since", t.since, "err", err)
	}
	t.failures++
}
