package supervisor_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// BenchmarkStart measures from Acquire to the first byte that the child answers, and compares it with os/exec alone.
func BenchmarkStart(b *testing.B) {
	for name, opts := range kinds {
		b.Run(name, func(b *testing.B) {
			sup := newSupervisor(b, opts)
			child := add(b, sup, supervisor.Spec{Command: []string{"cat"}})
			one := func() {
				p := acquire(b, child)
				if err := answer(p.Stdin(), p.Stdout()); err != nil {
					b.Fatal(err)
				}
			}
			one() // starts the guard
			for b.Loop() {
				b.StopTimer()
				if err := child.Stop(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				one()
			}
		})
	}
	b.Run("os/exec alone", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("cat")
			in, err := cmd.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			if err := answer(in, out); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			_ = in.Close()
			_ = cmd.Wait()
			b.StartTimer()
		}
	})
}

// BenchmarkStartInSandbox measures the same at each level.
func BenchmarkStartInSandbox(b *testing.B) {
	sup := newSupervisor(b, supervisor.Options{})
	for level := sandbox.Clean; level <= sup.Sandboxes(b.Context()).Level; level++ {
		b.Run("level "+level.String(), func(b *testing.B) {
			child := add(b, sup, supervisor.Spec{Name: "level" + level.String(), Command: []string{"cat"},
				Sandbox: sandbox.Rules{Level: level, MinLevel: level, NoNetwork: level > sandbox.Files}})
			for b.Loop() {
				p := acquire(b, child)
				if err := answer(p.Stdin(), p.Stdout()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := child.Stop(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func answer(in io.Writer, out io.Reader) error {
	if _, err := in.Write([]byte("x")); err != nil {
		return err
	}
	_, err := out.Read(make([]byte, 1))
	return err
}

// BenchmarkCrash measures a whole round: start, exit, everything gone, allowed to start again.
func BenchmarkCrash(b *testing.B) {
	for name, opts := range kinds {
		b.Run(name, func(b *testing.B) {
			child := add(b, newSupervisor(b, opts), supervisor.Spec{Command: []string{"false"}, MinBackoff: 1, CrashCount: 1 << 30})
			for b.Loop() {
				<-acquire(b, child).Done()
				child.Reset()
			}
		})
	}
}

// BenchmarkGuardMemory reports what the guard process holds with 50 children.
func BenchmarkGuardMemory(b *testing.B) {
	sup := newSupervisor(b, supervisor.Options{})
	guard := 0
	for range 50 {
		p := acquire(b, add(b, sup, supervisor.Spec{Command: []string{"cat"}}))
		if err := answer(p.Stdin(), p.Stdout()); err != nil {
			b.Fatal(err)
		}
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/stat")
		if err != nil {
			b.Fatal(err)
		}
		guard, _ = strconv.Atoi(strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[1])
	}
	for b.Loop() { // the figure is a state, not a time
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(guard) + "/smaps_rollup")
	if err != nil {
		b.Fatal(err)
	}
	for _, want := range []string{"Rss", "Pss_Anon"} {
		for line := range strings.Lines(string(text)) {
			if name, rest, ok := strings.Cut(line, ":"); ok && name == want {
				kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				b.ReportMetric(kb, want+"-kB")
			}
		}
	}
}

// BenchmarkLook measures a reading of the process table, which the guard does when a child has ended.
func BenchmarkLook(b *testing.B) {
	n := 0
	for b.Loop() {
		var err error
		if n, err = supervisor.CountProcs(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/process")
}
