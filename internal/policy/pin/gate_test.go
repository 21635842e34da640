package pin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/pin"
	"github.com/dragoman-mcp/dragoman/mcp"
)

var notes = config.Server{Name: "notes", Command: []string{"npx", "-y", "some-notes-server"}}

// contents are those of a package, by its version and the digest of one of its files.
func contents(version, file string) []byte {
	return fmt.Appendf(nil, `{"package":"some-notes-server (%s)","digest":"%s%[2]s","files":2,"packages":{"some-notes-server":%[1]q,"left-pad":"1.3.0"},`+
		`"tree":{"node_modules/left-pad/index.js":"aa","node_modules/some-notes-server/index.js":%[2]q}}`, version, file)
}

func codeOf(err error) int {
	var wire *mcp.Error
	if errors.As(err, &wire) {
		return wire.Code
	}
	return 0
}

// T52: what a launcher fetches is a definition as any other.
func TestAPackageThatChangesIsHeldBackWithWhatChangedInIt(t *testing.T) {
	b := book(database(t), "first_sight")
	gate := b.Gate(notes)
	for i, step := range []struct {
		contents []byte
		code     int
	}{{nil, 0}, {contents("1.0.0", "b0"), 0}, {contents("1.0.1", "b1"), mcp.CodeQuarantined}, {contents("1.0.0", "b0"), 0}, {nil, 0}} {
		if err := gate(t.Context(), step.contents); codeOf(err) != step.code || (err == nil) != (step.code == 0) {
			t.Errorf("step %d: got %v, want code %d", i, err, step.code)
		}
	}
	changes, err := b.Changes(t.Context(), "notes", false)
	if err != nil || len(changes) != 1 || changes[0].Kind != "package" {
		t.Fatalf("got %+v, %v, want the package", changes, err)
	}
	for _, want := range []pin.Line{
		{Path: "package", Was: `"some-notes-server (1.0.0)"`, Now: `"some-notes-server (1.0.1)"`},
		{Path: "package some-notes-server", Was: `"1.0.0"`, Now: `"1.0.1"`},
		{Path: "files that differ", Now: "1"},
		{Path: "file node_modules/some-notes-server/index.js", Was: `"b0"`, Now: `"b1"`},
	} {
		if !slices.Contains(changes[0].Lines, want) {
			t.Errorf("got the lines %+v, want %+v among them", changes[0].Lines, want)
		}
	}
	if done, err := b.Approve(t.Context(), "notes", nil, "ann"); err != nil || !slices.Equal(done, []string{"package"}) {
		t.Errorf("approve: got %q, %v, want the package", done, err)
	}
	if err := gate(t.Context(), contents("1.0.1", "b1")); err != nil {
		t.Errorf("approved: got %v", err)
	}
	if err := gate(t.Context(), contents("1.0.0", "b0")); codeOf(err) != mcp.CodeQuarantined {
		t.Errorf("back to what was approved before: got %v, want code %d", err, mcp.CodeQuarantined)
	}
}

func TestAPackageThatIsNotPinnedIsSaidToBe(t *testing.T) {
	b := book(database(t), "first_sight")
	gate := b.Gate(notes)
	loose := []byte(`{"package":"some-notes-server","not_pinned":"npx fetches it"}`)
	if err := gate(t.Context(), loose); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Loose(t.Context(), ""); err != nil || got["notes"] != `"npx fetches it"` {
		t.Errorf("got %v, %v, want why it is not pinned", got, err)
	}
	if err := gate(t.Context(), contents("1.0.0", "b0")); codeOf(err) != mcp.CodeQuarantined {
		t.Errorf("once it is: got %v, want it to wait", err)
	}
	if _, err := b.Approve(t.Context(), "notes", nil, "ann"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Loose(t.Context(), ""); err != nil || len(got) != 0 {
		t.Errorf("approved: got %v, %v, want nothing that is not pinned", got, err)
	}
	if err := gate(t.Context(), loose); codeOf(err) != mcp.CodeQuarantined {
		t.Errorf("not pinned any more: got %v, want code %d", err, mcp.CodeQuarantined)
	}
}

func TestNothingIsStartedOfAStrictServerBeforeItIsApproved(t *testing.T) {
	b := book(database(t), "strict")
	gate := b.Gate(notes)
	for _, asked := range [][]byte{nil, contents("1.0.0", "b0")} { // first how it is started, then what it is started from
		err := gate(t.Context(), asked)
		if codeOf(err) != mcp.CodeQuarantined || !strings.Contains(err.Error(), "waits for approval") || !strings.Contains(err.Error(), "dragoman tools diff notes") {
			t.Errorf("with %s: got %v, want that it waits and where to look", asked, err)
		}
		if _, err := b.Approve(t.Context(), "notes", nil, "ann"); err != nil {
			t.Fatal(err)
		}
		if err := gate(t.Context(), asked); err != nil {
			t.Errorf("approved: with %s: got %v", asked, err)
		}
	}
	if _, err := b.Reject(t.Context(), "notes", []string{"launch"}, "ann"); err == nil {
		t.Error("what was approved was rejected as if it waited")
	}
	broken := pin.New(pin.Options{Mode: "first_sight", Store: broken{}})
	if err := broken.Gate(notes)(t.Context(), nil); codeOf(err) != mcp.CodeUnavailable {
		t.Errorf("without the store: got %v, want code %d", err, mcp.CodeUnavailable)
	}
}

func TestAnApprovalOfWhatWasNotSeenIsForTheFirstOfEachNameAndForAWhile(t *testing.T) {
	now := time.Now()
	b := pin.New(pin.Options{Mode: "strict", Store: database(t).Pins, Now: func() time.Time { return now }})
	s := &server{tools: []string{tool}, instructions: "Be kind."}
	h, gate := b.Watch(notes, s), b.Gate(notes)
	if code := called(t, h); code != mcp.CodeQuarantined {
		t.Fatalf("new: got code %d, want %d", code, mcp.CodeQuarantined)
	}
	for range 2 { // the second time is as good as the first
		if _, err := b.ApproveUnseen(t.Context(), "notes", "ann"); err != nil {
			t.Fatal(err)
		}
	}
	if err := gate(t.Context(), contents("1.0.0", "b0")); err != nil {
		t.Errorf("its package: got %v, want it approved", err)
	}
	if got := listed(t, h); got != "["+tool+"]" || called(t, h) != 0 {
		t.Errorf("its tools: got %s, want them", got)
	}
	s.tools[0] = strings.Replace(tool, "Reads", "Writes", 1)
	if got := listed(t, h); got != "[]" {
		t.Errorf("a tool that has changed since: got %s, want none", got)
	}
	now = now.Add(pin.Unseen)
	s.tools = append(s.tools, `{"name":"late"}`)
	if got := listed(t, h); got != "[]" {
		t.Errorf("a tool that comes later: got %s, want none", got)
	}
	changes, err := b.Changes(t.Context(), "", true)
	if err != nil || len(changes) != 2 {
		t.Errorf("got %+v, %v, want the two tools that wait", changes, err)
	}
}

func TestAListSaysHowMuchOfItIsHeldBack(t *testing.T) {
	s := &server{tools: []string{tool}}
	b := book(database(t), "first_sight")
	h := b.Watch(files, s)
	meta := func() string {
		r, err := h.Handle(t.Context(), &mcp.Request{Method: "tools/list"})
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Get("_meta"))
	}
	if got := meta(); got != "" {
		t.Errorf("of nothing: got %s, want no word", got)
	}
	s.tools[0] = strings.Replace(tool, "Reads", "Writes", 1)
	if got := meta(); got != `{"dragoman/held":1}` {
		t.Errorf("of a tool that has changed: got %s, want 1", got)
	}
}

// What a server offers is looked at as soon as its start was approved elsewhere, so that it can be approved too.
func TestWhatAServerOffersIsLookedAtWhenItsStartIsApproved(t *testing.T) {
	db := database(t)
	s := &server{tools: []string{tool}, instructions: "Be kind."}
	heard := make(chan string, 64)
	b := pin.New(pin.Options{Mode: "strict", Store: db.Pins, Changed: func(server string) { heard <- server }})
	h := b.Watch(files, s)
	if code := called(t, h); code != mcp.CodeQuarantined {
		t.Fatalf("new: got code %d, want %d", code, mcp.CodeQuarantined)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, db.Feed) }()
	defer func() { cancel(); <-done }()
	<-heard // it has begun to listen
	if _, err := book(db, "strict").Approve(t.Context(), "files", nil, "ann"); err != nil {
		t.Fatal(err)
	}
	var waiting []string
	for deadline := time.Now().Add(time.Minute); len(waiting) < 2 && time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		changes, err := b.Changes(t.Context(), "files", false)
		if err != nil {
			t.Fatal(err)
		}
		waiting = waiting[:0]
		for _, c := range changes {
			waiting = append(waiting, c.Kind)
		}
	}
	slices.Sort(waiting)
	if !slices.Equal(waiting, []string{"instructions", "tool"}) {
		t.Errorf("got %q waiting, want the instructions and the tool", waiting)
	}
}
