package supervisor

import (
	"errors"
	"io"
	"sync"
	"time"
)

// Process is one run of a child: its pipes and its end. Its methods may be called concurrently.
type Process struct {
	task    *task
	spawner spawner
	started time.Time
	stdout  *outlet
	stderr  *tail
	redact  func() func(string) string
	quiet   chan struct{} // closed when stderr has ended
	done    chan struct{}
	err     error // set before done is closed

	mu     sync.Mutex // guards reason and asked
	reason error      // why the owner killed it
	asked  bool       // Stop was called
}

// PID is the process id of the command itself.
func (p *Process) PID() int { return p.task.pid }

// Started is when it was started.
func (p *Process) Started() time.Time { return p.started }

// Stdin is what the child reads. Writes block while the child does not read; the value also has SetWriteDeadline. The
// supervisor closes it when the process ends or is stopped; the owner may close it before.
func (p *Process) Stdin() io.WriteCloser { return p.task.stdin }

// Stdout is what the child writes. The owner reads it until an error; what was written before the process ended can be
// read for 2 s after its end. The supervisor closes it.
func (p *Process) Stdout() io.Reader { return p.stdout }

// Done is closed when the command has ended. What it started may live a moment longer; the Child waits for that.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is nil while the process runs and after a stop that was asked for; else an *ExitError.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stderr returns the last lines of its standard error, oldest first.
func (p *Process) Stderr() []string { return p.stderr.last() }

// Redactor returns a function that takes what no log may have out of lines that the process wrote to its standard output
// and that are no messages. It is for one goroutine, and for lines in their order.
func (p *Process) Redactor() func(line string) string { return p.redact() }

// Kill ends the process and all that it started at once, because it is of no use: it does not answer, or answers
// nonsense. It counts as a crash with reason as its cause. It does not wait; see Done.
func (p *Process) Kill(reason error) {
	if reason == nil {
		reason = errors.New("killed by its owner")
	}
	p.mu.Lock()
	if p.reason == nil {
		p.reason = reason
	}
	p.mu.Unlock()
	p.task.order(orderKill)
}

// Usage is what the process and its living descendants use now. It is not supported on systems without /proc.
func (p *Process) Usage() (Usage, error) {
	t, err := p.spawner.census()
	if err != nil {
		return Usage{}, err
	}
	return t.usage(p.task), nil
}

// ask notes that the end of the process is wanted.
func (p *Process) ask() {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
}

// ending returns whether the end was asked for, and the reason of a Kill.
func (p *Process) ending() (asked bool, reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked && p.reason == nil, p.reason
}

// outlet is a child's standard output. It closes its pipe as soon as the end was read.
type outlet struct {
	r     io.ReadCloser
	once  sync.Once
	ended chan struct{}
}

func newOutlet(r io.ReadCloser) *outlet {
	return &outlet{r: r, ended: make(chan struct{})}
}

// Read implements io.Reader.
func (o *outlet) Read(b []byte) (int, error) {
	n, err := o.r.Read(b)
	if err != nil {
		o.close()
	}
	return n, err
}

func (o *outlet) close() {
	o.once.Do(func() {
		_ = o.r.Close() // nothing to say on a pipe that was read
		close(o.ended)
	})
}
