package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// patience is how long a person waits without being told what for.
const patience = 500 * time.Millisecond

// progress shows on one line of a terminal how a call goes; where nobody looks
// it shows nothing. Log messages of the server are lines of their own, wherever
// they go.
type progress struct {
	screen *screen
	timer  *time.Timer

	mu    sync.Mutex // guards what follows
	shown bool       // a line stands on the screen that is written over
	ended bool
}

// watch begins; what is waited for is shown when it takes longer than a moment.
func watch(s *screen, what string) *progress {
	p := &progress{screen: s}
	if s.animations {
		p.timer = time.AfterFunc(patience, func() { p.show(what + " …") })
	}
	return p
}

// stop takes the line away for good.
func (p *progress) stop() {
	p.hold()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

// hold takes the line away until there is something new to show, so that other
// lines can be written.
func (p *progress) hold() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
}

// wipe removes the line. p.mu is held.
func (p *progress) wipe() {
	if p.shown {
		fmt.Fprint(p.screen.err, "\r\x1b[K")
		p.shown = false
	}
}

func (p *progress) show(text string) {
	if !p.screen.animations {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.wipe()
	fmt.Fprint(p.screen.err, cut(oneLine(text), max(columns(p.screen.err, true)-1, 20)))
	p.shown = true
}

// notify takes what the server says of the call while it runs.
func (p *progress) notify(n mcp.Notification) {
	switch n.Method {
	case "notifications/progress":
		if p.timer != nil {
			p.timer.Stop()
		}
		p.show(progressText(n))
	case "notifications/message":
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wipe()
		level, _ := n.Params.String("level")
		logger, _ := n.Params.String("logger")
		fmt.Fprintf(p.screen.err, "%s: %s\n", oneLine(strings.TrimSpace(level+" "+logger)), harmless(plain(n.Params.Get("data"))))
	}
}

// progressText is like "42 %, reading" or, without a total, "17, reading".
func progressText(n mcp.Notification) string {
	done, _ := strconv.ParseFloat(string(n.Params.Get("progress")), 64)
	total, err := strconv.ParseFloat(string(n.Params.Get("total")), 64)
	text := strconv.FormatFloat(done, 'f', -1, 64)
	if err == nil && total > 0 {
		text = fmt.Sprintf("%.0f %%", 100*done/total)
	}
	if message, _ := n.Params.String("message"); message != "" {
		text += ", " + message
	}
	return text
}
