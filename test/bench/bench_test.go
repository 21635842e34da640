package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// TestMain lets the test binary be the other processes as well, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && role(os.Args[1]) != nil {
		main()
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "fake-gateway" {
		if err := fakeGateway(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	runtime.LockOSThread()
	goleak.VerifyTestMain(m)
}

// TestABareProxyInTheGatewaysPlaceIsLikeTheBareProxy runs the whole program, with all its processes, for every scenario that is
// short. What it measures in windows this small says nothing, so only its answers and its shape are looked at.
func TestABareProxyInTheGatewaysPlaceIsLikeTheBareProxy(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr bytes.Buffer
	args := "-gateway bare -rounds 2 -warm 10ms -window 60ms -o json -calls 500 -late 1ms -scenarios start,c1,m16,x16,mb,session,list1000,list50x20,leak"
	if code := run(strings.Fields(args), &stdout, &stderr); code != exitRight {
		t.Fatalf("exit code %d, want %d; it said:\n%s", code, exitRight, stderr.Bytes())
	}
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		if row.Ratio == nil || *row.Ratio <= 0 || row.Bare == nil || row.Gateway == nil {
			t.Errorf("row %s, %s is not whole: %+v", row.Scenario, row.Metric, row)
		}
	}
	if got, want := len(r.Rows), 1+7*4; got != want {
		t.Errorf("%d rows, want %d: one for start, four for each scenario under load", got, want)
	}
	if r.Leak == nil || r.Leak.Calls != 500 || r.Leak.Servers["http"].Distinct < r.Leak.Answered {
		t.Errorf("leak: %+v, want 500 calls, executed at least as often as answered", r.Leak)
	}
	var table bytes.Buffer
	if err := r.table(&table); err != nil || !strings.Contains(table.String(), "list50x20") {
		t.Errorf("table: %v\n%s", err, table.String())
	}
}

func TestAGatewayThatDoesNotAnswerIsReportedWithItsLog(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr bytes.Buffer
	code := run([]string{"-gateway", "/bin/sh", "-gateway-args", "{config}", "-scenarios", "c1"}, &stdout, &stderr)
	if said := stderr.String(); code != exitWrong || !strings.Contains(said, "the process has ended") || !strings.Contains(said, "listen:") {
		t.Errorf("exit code %d, said %q; want %d, that the process has ended, and its log", code, said, exitWrong)
	}
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	b := &bench{samples: []sample{
		{0, "c16", barePeer, cpu, 100}, {0, "c16", gatewayPeer, cpu, 50},
		{1, "c16", barePeer, cpu, 10}, {1, "c16", gatewayPeer, cpu, 20},
		{2, "c16", barePeer, cpu, 10}, {2, "c16", gatewayPeer, cpu, 11},
		{3, "c16", barePeer, cpu, 10}, // the gateway's sample of this round is missing
	}}
	s, _ := selected("c16")
	got, ok := b.row(s[0], cpu)
	number := func(v float64) *float64 { return &v }
	no := false
	want := row{
		Scenario: "c16", About: s[0].about, Metric: cpu, Bare: number(10), Gateway: number(20), Ratio: number(1.1), Low: number(0.5), High: number(2),
		Goal: "≤ 1×", Met: &no,
	}
	if !ok || cmp.Diff(want, got) != "" {
		t.Errorf("row, ok %v (-want +got):\n%s", ok, cmp.Diff(want, got))
	}
}

func TestAGoalIsMissedByAMissingFigure(t *testing.T) {
	r := row{}
	r.judge(goal{metric: cpu, bound: 1})
	if r.Met == nil || *r.Met {
		t.Errorf("met %v, want false", r.Met)
	}
	r = row{Gateway: new(float64)}
	*r.Gateway = 26
	r.judge(goal{metric: memory, bound: 25, absolute: true})
	if *r.Met {
		t.Error("26 of at most 25 is met")
	}
	*r.Gateway = 24
	if r.judge(goal{metric: memory, bound: 25, absolute: true}); !*r.Met {
		t.Error("24 of at most 25 is missed")
	}
}

func TestOnlyEnforceTurnsAMissedGoalIntoAnExitCode(t *testing.T) {
	met := false
	r := report{Rows: []row{{Scenario: "c16", Met: &met, Goal: "≤ 1×"}}}
	for enforce, want := range map[bool]error{false: nil, true: errMissed} {
		b := &bench{settings: settings{enforce: enforce, output: "json"}}
		if got := b.print(r, new(bytes.Buffer)); got != want {
			t.Errorf("enforce %v: %v, want %v", enforce, got, want)
		}
	}
	r.Faults = []string{"a wrong answer"}
	if err := (&bench{settings: settings{output: "json"}}).print(r, new(bytes.Buffer)); err == nil || err == errMissed {
		t.Errorf("a wrong answer: %v, want an error of its own", err)
	}
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, args := range []string{"-route x", "-o xml", "-rounds 0", "-scenarios c16,c17", "extra", "-window 0s", "-calls 0"} {
		var stderr bytes.Buffer
		if code := run(strings.Fields(args), new(bytes.Buffer), &stderr); code != exitBadFlag || stderr.Len() == 0 {
			t.Errorf("%s: exit code %d, said %q; want %d and a reason", args, code, stderr.String(), exitBadFlag)
		}
	}
}

func TestAPanicInTheLogIsAFault(t *testing.T) {
	path := t.TempDir() + "/log"
	for text, bad := range map[string]bool{"level=INFO\n": false, "a\npanic: nil map\nb\n": true, "WARNING: DATA RACE\n": true, "": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := scanLog(path); (err != nil) != bad {
			t.Errorf("log %q: %v, want an error: %v", text, err, bad)
		}
	}
}

func TestPeersTakeTurnsAtBeingFirst(t *testing.T) {
	s := &stage{bench: &bench{settings: settings{direct: true}}}
	first := map[string]int{}
	for n := range 6 {
		first[s.inOrder(n)[0].Name]++
	}
	if want := map[string]int{gatewayPeer: 2, barePeer: 2, directPeer: 2}; !cmp.Equal(first, want) {
		t.Errorf("first in six rounds: %v, want %v", first, want)
	}
}
