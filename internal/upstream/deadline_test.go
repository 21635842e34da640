package upstream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestPatienceEndsEachCallInItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patience{span: 10 * time.Second}
		defer p.stop()
		enter := func() *call {
			c := &call{began: time.Now()}
			c.own = mcp.NewCallContextUntil(context.Background(), c.began.Add(p.span))
			p.enter(c)
			return c
		}
		first := enter()
		<-time.After(3 * time.Second)
		quick, second := enter(), enter()
		p.leave(quick)
		quick.cancel()
		<-time.After(3 * time.Second)
		third := enter()
		for _, step := range []struct {
			wait time.Duration
			late []*call
			well []*call
		}{
			{3999 * time.Millisecond, nil, []*call{first, second, third}},
			{time.Millisecond, []*call{first}, []*call{second, third}},
			{3 * time.Second, []*call{second}, []*call{third}},
			{3 * time.Second, []*call{third}, nil},
		} {
			<-time.After(step.wait)
			synctest.Wait()
			for _, c := range step.late {
				if c.own.Err() != context.DeadlineExceeded || c.own.Cause() != errDeadline {
					t.Errorf("a call has %v because of %v after its time", c.own.Err(), c.own.Cause())
				}
				p.leave(c) // as its caller will
			}
			for _, c := range step.well {
				if c.own.Err() != nil {
					t.Errorf("a call has ended %v before its time: %v", time.Until(c.began.Add(p.span)), c.own.Err())
				}
			}
		}
		<-time.After(time.Hour) // the line was empty for long
		again := enter()
		<-time.After(p.span)
		synctest.Wait()
		if again.own.Err() != context.DeadlineExceeded {
			t.Errorf("after a pause: %v, want the deadline", again.own.Err())
		}
		if p.first != nil || p.last != nil {
			t.Error("somebody still stands in line")
		}
	})
}
