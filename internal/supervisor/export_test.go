package supervisor

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// What the black box tests need of the inside.
var (
	Environ   = environ
	Resolve   = resolve
	ReadLines = readLines
	OpenLog   = openLog
)

// CountProcs reads the process table and returns its size.
func CountProcs() (int, error) {
	procs, err := readProcs()
	return len(procs), err
}

// BePatient lets s wait for long for what usually takes a moment: on a busy machine it
// may take seconds.
func BePatient(s *Supervisor) {
	s.times = times{linger: 10 * time.Second, lastWords: 5 * time.Second, fetch: maxFetchBackoff}
}

// Watching begins to watch paths, and returns what Watch does then.
func Watching(paths []string) (tell func(ctx context.Context, changed func(path string)) error, err error) {
	v, err := watching(paths)
	if err != nil {
		return nil, err
	}
	return v.tell, nil
}

const MaxStderrLine = maxStderrLine

// WriteLog writes one line of a log file.
func WriteLog(l *logFile, line string) error { return l.write(time.Unix(0, 0), 7, line) }

// CloseLog closes it.
func CloseLog(l *logFile) { l.close() }

// FakeRun is what a fake command does: it fails to start with Err, or exits with Code after Uptime, or lives until it is
// ended when Uptime is 0.
type FakeRun struct {
	Err    error
	Uptime time.Duration
	Code   int
	Stderr string
	Deaf   bool // it only ends by orderKill
}

// Fake starts no processes: run says what the n-th command does, counted from 0. It is for tests in a synctest bubble.
type Fake struct {
	Run func(n int) FakeRun
	At  []time.Time  // of each start
	Log *slog.Logger // nil for none
}

// NewFake makes a supervisor over f.
func NewFake(f *Fake) *Supervisor {
	log := f.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s, err := newSupervisor(Options{Log: log}, f)
	if err != nil {
		panic(err)
	}
	return s
}

func (f *Fake) spawn(ctx context.Context, _ launch) (*task, error) {
	run := f.Run(len(f.At))
	f.At = append(f.At, time.Now())
	if run.Err != nil {
		return nil, run.Err
	}
	t := newTask()
	t.pid = 1000 + len(f.At)
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	t.stdin, t.stdout, t.stderr = inW, outR, errR
	kill := make(chan struct{}, 8)
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, inR)
		close(closed)
	}()
	t.order = func(o order) {
		if o == orderKill {
			kill <- struct{}{}
		}
	}
	go func() {
		_, _ = io.WriteString(errW, run.Stderr)
		var after <-chan time.Time
		if run.Uptime > 0 {
			after = time.After(run.Uptime)
		}
		ended := closed
		if run.Deaf {
			ended = nil
		}
		select {
		case <-after:
			t.end = outcome{code: run.Code}
		case <-kill:
			t.end = outcome{code: -1, signal: "killed"}
		case <-ended:
			t.end = outcome{}
		}
		_ = inR.Close()
		_ = outW.Close()
		_ = errW.Close()
		close(t.exited)
		close(t.gone)
	}()
	return t, nil
}

func (f *Fake) census() (table, error) { return table{}, nil }
func (f *Fake) close()                 {}

func (f *Fake) report(context.Context) sandbox.Report { return sandbox.Report{Missing: "it is a fake"} }
