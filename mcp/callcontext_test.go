package mcp_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

type valueKey struct{}

func TestACallContextEnds(t *testing.T) {
	why := errors.New("why")
	background := func() (context.Context, context.CancelCauseFunc) {
		return context.WithCancelCause(context.Background())
	}
	for _, c := range []struct {
		name string
		// end ends a context below parent, which it may use.
		end   func(parent context.Context, cancel context.CancelCauseFunc, c *mcp.CallContext)
		err   error
		cause error
	}{
		{"by its owner", func(_ context.Context, _ context.CancelCauseFunc, c *mcp.CallContext) { c.End(context.Canceled, nil) }, context.Canceled, context.Canceled},
		{"by its deadline, which its owner watches", func(_ context.Context, _ context.CancelCauseFunc, c *mcp.CallContext) {
			c.End(context.DeadlineExceeded, why)
			c.End(context.Canceled, nil)
		}, context.DeadlineExceeded, why},
		{"with a parent of another kind", func(_ context.Context, cancel context.CancelCauseFunc, _ *mcp.CallContext) { cancel(why) }, context.Canceled, why},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := background()
				defer cancel(nil)
				top := mcp.NewCallContext(context.WithValue(parent, valueKey{}, "v"))
				direct := mcp.NewCallContext(top)
				valued := mcp.NewCallContext(context.WithValue(direct, valueKey{}, "w"))
				std, stop := context.WithCancel(valued)
				defer stop()
				below := mcp.NewCallContext(std)
				var ran sync.WaitGroup
				ran.Add(2)
				stopped := valued.AfterFunc(func() { t.Error("a function ran that was stopped") })
				valued.AfterFunc(ran.Done)
				context.AfterFunc(direct, ran.Done)
				if !stopped() || stopped() {
					t.Error("stop did not return true once")
				}
				all := []context.Context{top, direct, valued, std, below}
				for i, ctx := range all {
					if ctx.Err() != nil {
						t.Fatalf("context %d has ended before: %v", i, ctx.Err())
					}
				}
				c.end(parent, cancel, top)
				if err := top.Err(); err != c.err {
					t.Errorf("Err right after = %v, want %v", err, c.err)
				}
				synctest.Wait()
				for i, ctx := range all {
					select {
					case <-ctx.Done():
					default:
						t.Errorf("context %d has not ended", i)
					}
					if ctx.Err() != c.err {
						t.Errorf("context %d: Err = %v, want %v", i, ctx.Err(), c.err)
					}
				}
				if top.Cause() != c.cause || valued.Cause() != c.cause {
					t.Errorf("causes are %v and %v, want %v", top.Cause(), valued.Cause(), c.cause)
				}
				ran.Wait()
				late := mcp.NewCallContext(valued)
				if late.Err() != c.err || late.Cause() != c.cause {
					t.Errorf("below an ended one: %v because of %v", late.Err(), late.Cause())
				}
				if got := valued.Value(valueKey{}); got != "w" {
					t.Errorf("value = %v, want w", got)
				}
			})
		})
	}
}

func TestACallContextThatHasEndedIsForgottenByItsParent(t *testing.T) {
	parent := mcp.NewCallContext(context.Background())
	defer parent.End(context.Canceled, nil)
	var children []*mcp.CallContext
	for range 5 {
		children = append(children, mcp.NewCallContext(parent))
	}
	for _, at := range []int{2, 0, 4, 1, 3} { // from the middle, from both ends
		children[at].End(context.Canceled, nil)
		children[at].End(context.Canceled, nil)
	}
	if parent.Err() != nil {
		t.Fatalf("the parent has ended with a child: %v", parent.Err())
	}
	last := mcp.NewCallContext(parent)
	parent.End(context.Canceled, nil)
	if last.Err() == nil {
		t.Error("a child lives longer than its parent")
	}
}

func TestTheDeadlineOfACallContextIsTheEarlier(t *testing.T) {
	now := time.Now()
	parent, cancel := context.WithDeadline(context.Background(), now.Add(time.Minute))
	defer cancel()
	for _, c := range []struct {
		name string
		own  time.Time
		want time.Time
	}{
		{"its own", now.Add(time.Second), now.Add(time.Second)},
		{"its parent's", now.Add(time.Hour), now.Add(time.Minute)},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := mcp.NewCallContextUntil(parent, c.own)
			defer ctx.End(context.Canceled, nil)
			if got, ok := ctx.Deadline(); !ok || !got.Equal(c.want) {
				t.Errorf("Deadline() = %v, %t; want %v", got, ok, c.want)
			}
		})
	}
	if _, ok := mcp.NewCallContext(context.Background()).Deadline(); ok {
		t.Error("one without a deadline has one")
	}
}

// Under the race detector: ends, children, functions and looks at once.
func TestACallContextMayBeUsedByMany(t *testing.T) {
	for range 200 {
		parent, cancel := context.WithCancel(context.Background())
		c := mcp.NewCallContext(parent)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				child := mcp.NewCallContext(c)
				stop := c.AfterFunc(func() {})
				<-child.Done()
				stop()
				child.End(context.Canceled, nil)
			})
		}
		group.Go(cancel)
		group.Go(func() { c.End(context.DeadlineExceeded, nil) })
		group.Wait()
		if c.Err() == nil || c.Cause() == nil {
			t.Fatalf("it has not ended: %v, %v", c.Err(), c.Cause())
		}
	}
}

func TestAParentThatEndedUnheededIsNoticedByWhoeverLooks(t *testing.T) {
	why := errors.New("why")
	for name, look := range map[string]func(*mcp.CallContext) bool{
		"by its error":              func(c *mcp.CallContext) bool { return c.Err() == context.Canceled },
		"by its cause":              func(c *mcp.CallContext) bool { return c.Cause() == why },
		"by one made of it":         func(c *mcp.CallContext) bool { return mcp.NewCallContext(c).Err() == context.Canceled },
		"by one of the library":     func(c *mcp.CallContext) bool { return context.WithValue(c, valueKey{}, 1).Err() == context.Canceled },
		"by the end of its waiting": func(c *mcp.CallContext) bool { <-c.Done(); return true },
		"by a function": func(c *mcp.CallContext) bool {
			ran := make(chan struct{})
			c.AfterFunc(func() { close(ran) })
			<-ran
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			parent, cancel := context.WithCancelCause(context.Background())
			var c mcp.CallContext // as a part of something else
			c.Begin(parent)
			cancel(why)
			if !look(&c) {
				t.Errorf("error %v, cause %v; want it ended with its parent", c.Err(), c.Cause())
			}
		})
	}
}
