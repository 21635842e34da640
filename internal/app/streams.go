package app

import (
	"context"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// streams counts what lasts until somebody ends it, by the principal that holds it.
type streams struct {
	most int // of one principal

	mu   sync.Mutex // guards held
	held map[string]int
}

// enter counts a stream of the caller of ctx in, until leave is called, once.
func (s *streams) enter(ctx context.Context) (leave func(), refusal *mcp.Error) {
	who := mcp.PrincipalOf(ctx).ID
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[who] >= s.most {
		return nil, mcp.Errorf(mcp.CodeBusy, "%d streams of this caller are open, no more are taken: end one, or have limits.streams_per_principal raised", s.held[who])
	}
	if s.held == nil {
		s.held = make(map[string]int)
	}
	s.held[who]++
	return func() { s.leave(who) }, nil
}

func (s *streams) leave(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[who]--; s.held[who] == 0 {
		delete(s.held, who)
	}
}
