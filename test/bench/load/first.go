package load

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// poll is how often FirstAnswer tries.
const poll = 2 * time.Millisecond

// ErrEnded says that the process that was to answer has ended.
var ErrEnded = errors.New("the process has ended")

// FirstAnswer tries, every two milliseconds and on a new connection, to call echo once in a session of its own, with a text that no other call has, and
// returns when the answer is right. It gives up when ctx ends or when the process does, and says why the last try failed.
func FirstAnswer(ctx context.Context, target Target, revision string, ended <-chan struct{}) error {
	return try(ctx, ended, func() error {
		return once(ctx, target, revision, func(c *Client) error { return c.Call(rand.Text()) })
	})
}

// FirstList waits in the same way for a list of want tools.
func FirstList(ctx context.Context, target Target, want int, ended <-chan struct{}) error {
	return try(ctx, ended, func() error {
		return once(ctx, target, Legacy, func(c *Client) error { return c.List(want) })
	})
}

func once(ctx context.Context, target Target, revision string, do func(*Client) error) error {
	c, err := Dial(ctx, target, revision, time.Now().Add(2*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Initialize(); err != nil {
		return err
	}
	return errors.Join(do(c), c.End())
}

func try(ctx context.Context, ended <-chan struct{}, attempt func() error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("%w; the last try: %w", ErrEnded, err)
		case <-ctx.Done():
			return fmt.Errorf("%w; the last try: %w", ctx.Err(), err)
		}
	}
}
