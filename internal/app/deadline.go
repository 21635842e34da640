package app

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// frugal is a connection whose deadlines cost little to move. net/http and the transports move them a dozen times per
// request, nearly always further away, and each move goes to the runtime's poller and its timers. Here only one that comes
// sooner does; of one that was moved away the poller learns when it comes up and is found to be out of date. What a caller
// sees is what it sees of the connection below: nothing waits longer than it should, nor less.
type frugal struct {
	net.Conn
	read, write deadline
}

// Read implements net.Conn.
func (c *frugal) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err == nil || n > 0 || !c.read.outdated(err, c.Conn.SetReadDeadline) {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (c *frugal) Write(p []byte) (int, error) {
	done := 0
	for {
		n, err := c.Conn.Write(p[done:])
		done += n
		if err == nil || !c.write.outdated(err, c.Conn.SetWriteDeadline) {
			return done, err
		}
	}
}

// SetDeadline implements net.Conn.
func (c *frugal) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *frugal) SetReadDeadline(t time.Time) error { return c.read.set(t, c.Conn.SetReadDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *frugal) SetWriteDeadline(t time.Time) error { return c.write.set(t, c.Conn.SetWriteDeadline) }

// deadline is until when one direction of a connection may take.
type deadline struct {
	mu    sync.Mutex // guards what follows
	want  time.Time  // the deadline; zero for none
	told  time.Time  // what the poller has; zero for none
	spare time.Time  // what it had last that was no interruption
}

// set moves the deadline to t; tell is how the poller learns of it.
func (d *deadline) set(t time.Time, tell func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.want = t
	switch {
	case isInterruption(t):
		d.told = t
		return tell(t)
	case isInterruption(d.told): // whatever comes next must not fail at once
		if d.spare.IsZero() || !t.IsZero() && t.Before(d.spare) {
			d.spare = t
		}
		d.told = d.spare
		return tell(d.told)
	case t.IsZero(), !d.told.IsZero() && !t.Before(d.told):
		return nil
	}
	d.told, d.spare = t, t
	return tell(t)
}

// outdated reports whether err comes from a deadline that has been moved away meanwhile; the poller then has the new one.
func (d *deadline) outdated(err error, tell func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.want.IsZero() && !time.Now().Before(d.want) {
		return false
	}
	d.told, d.spare = d.want, d.want
	return tell(d.want) == nil
}

// isInterruption reports whether a deadline is one that is set to wake up who waits, long past as it is.
func isInterruption(t time.Time) bool { return !t.IsZero() && t.Unix() < 1<<29 }
