package flow_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func client(name, session string) *mcp.Client {
	var info []byte
	if name != "" {
		info = fmt.Appendf(nil, `{"version":"1","name":%q}`, name)
	}
	c := mcp.NewClient(mcp.Revision20260728, info, jsonrpc.Object{})
	c.Session = session
	return c
}

func who(id string) mcp.Principal { return mcp.Principal{ID: id} }

func src(text string) flow.Source {
	server, name, _ := strings.Cut(text, "/")
	return flow.Source{Server: server, Name: name}
}

func texts(read []flow.Source) []string {
	var out []string
	for _, s := range read {
		out = append(out, strings.TrimSuffix(s.Server+"/"+s.Name, "/"))
	}
	slices.Sort(out)
	return out
}

func TestWhatOneHasReadCountsForItsConversationOnly(t *testing.T) {
	type party struct{ id, client, session string }
	for _, tt := range []struct {
		name, by string
		reads    party
		tainted  []party
		clean    []party
	}{
		{
			name: "by client: all sessions of the client, and whoever does not say which client it is", by: "client",
			reads:   party{"ann", "desk", "s1"},
			tainted: []party{{"ann", "desk", "s1"}, {"ann", "desk", "s2"}, {"ann", "desk", ""}, {"ann", "", ""}, {"ann", strings.Repeat("x", 200), ""}},
			clean:   []party{{"ann", "phone", "s3"}, {"bob", "desk", "s1"}, {"bob", "", ""}, {"", "desk", ""}},
		},
		{
			name: "by client: what a client without a name has read counts for all of the principal", by: "client",
			reads:   party{"ann", "", ""},
			tainted: []party{{"ann", "desk", "s1"}, {"ann", "phone", ""}, {"ann", "", "s4"}},
			clean:   []party{{"bob", "desk", ""}, {"bob", "", ""}},
		},
		{
			name: "by session: the session, and where there is none the client", by: "session",
			reads:   party{"ann", "desk", "s1"},
			tainted: []party{{"ann", "desk", "s1"}, {"ann", "", ""}},
			clean:   []party{{"ann", "desk", "s2"}, {"bob", "desk", "s1"}, {"ann", "phone", ""}},
		},
		{
			name: "by session: without sessions the client", by: "session",
			reads:   party{"ann", "desk", ""},
			tainted: []party{{"ann", "desk", ""}, {"ann", "", ""}},
			clean:   []party{{"ann", "phone", ""}, {"bob", "desk", ""}},
		},
		{
			name: "by principal: all of it", by: "principal",
			reads:   party{"ann", "desk", "s1"},
			tainted: []party{{"ann", "desk", "s1"}, {"ann", "phone", "s2"}, {"ann", "", ""}},
			clean:   []party{{"bob", "desk", "s1"}, {"", "", ""}},
		},
		{
			name: "where nobody is asked who they are, all are one", by: "client",
			reads:   party{"", "desk", ""},
			tainted: []party{{"", "desk", ""}, {"", "", ""}},
			clean:   []party{{"ann", "desk", ""}},
		},
	} {
		m := flow.NewMemory(config.Conversation{By: tt.by, For: time.Hour}, newClock().now)
		of := func(p party) flow.Conversation { return m.Of(who(p.id), client(p.client, p.session)) }
		m.Note(of(tt.reads), src("web/fetch"))
		for _, p := range tt.tainted {
			if got := texts(m.Seen(of(p))); !slices.Equal(got, []string{"web/fetch"}) {
				t.Errorf("%s: %v has read %v, want web/fetch", tt.name, p, got)
			}
		}
		for _, p := range tt.clean {
			if got := m.Seen(of(p)); len(got) > 0 {
				t.Errorf("%s: %v has read %v, want nothing", tt.name, p, got)
			}
		}
	}
}

func TestWhatWasReadCountsForItsTimeFromWhenItWasReadLast(t *testing.T) {
	c := newClock()
	m := flow.NewMemory(config.Conversation{For: time.Hour}, c.now)
	ann := m.Of(who("ann"), client("desk", ""))
	m.Note(ann, src("web/fetch"))
	c.at = c.at.Add(30 * time.Minute)
	m.Note(ann, src("db/query"))
	c.at = c.at.Add(29*time.Minute + 59*time.Second)
	if got, want := texts(m.Seen(ann)), []string{"db/query", "web/fetch"}; !slices.Equal(got, want) {
		t.Fatalf("just before the hour: got %v, want %v", got, want)
	}
	m.Note(ann, src("web/fetch")) // again
	c.at = c.at.Add(40 * time.Minute)
	if got, want := texts(m.Seen(ann)), []string{"web/fetch"}; !slices.Equal(got, want) {
		t.Errorf("later: got %v, want %v: it was read again", got, want)
	}
	c.at = c.at.Add(time.Hour)
	if got := m.Seen(ann); len(got) > 0 {
		t.Errorf("in the end: got %v, want nothing", got)
	}
}

// What has no place of its own counts as read by everybody who may have read it, and memory stays bounded.
func TestWhatIsForgottenForLackOfRoomCountsAsRead(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		readers, own, scopes int
		party                func(i int) (mcp.Principal, *mcp.Client)
		others               bool // somebody of whom nothing is known may be one of those that had to go
	}{
		{"many principals", 10, 100, 1000, func(i int) (mcp.Principal, *mcp.Client) { return who(fmt.Sprint(i)), client("desk", "") }, true},
		{"many clients of one", 10, 10, 1000, func(i int) (mcp.Principal, *mcp.Client) { return who("ann"), client(fmt.Sprint(i), "") }, false},
		{"many clients of two", 10, 100, 10, func(i int) (mcp.Principal, *mcp.Client) { return who(fmt.Sprint(i % 2)), client(fmt.Sprint(i), "") }, false},
	} {
		c := newClock()
		m := flow.NewMemory(config.Conversation{For: time.Hour}, c.now)
		m.Bound(tt.readers, tt.own, tt.scopes)
		for i := range 500 {
			m.Note(m.Of(tt.party(i)), src("web/fetch"))
			if readers, scopes := m.Size(); readers < 0 || readers > tt.readers || scopes > min(tt.scopes, tt.readers*tt.own) {
				t.Fatalf("%s: after %d: %d readers with %d conversations are remembered", tt.name, i, readers, scopes)
			}
		}
		for i := range 500 {
			if got := texts(m.Seen(m.Of(tt.party(i)))); !slices.Equal(got, []string{"web/fetch"}) {
				t.Fatalf("%s: number %d has read %v, want web/fetch", tt.name, i, got)
			}
		}
		if got := m.Seen(m.Of(who("somebody else"), client("desk", ""))); (len(got) > 0) != tt.others {
			t.Errorf("%s: somebody else has read %v, want something: %t", tt.name, got, tt.others)
		}
		c.at = c.at.Add(2 * time.Hour)
		for i := range 500 {
			if got := m.Seen(m.Of(tt.party(i))); len(got) > 0 {
				t.Fatalf("%s: when the time is over, number %d has read %v", tt.name, i, got)
			}
		}
		for i := range 30 { // there is room again
			m.Note(m.Of(tt.party(i)), src("db/query"))
		}
		if readers, _ := m.Size(); readers < 0 {
			t.Errorf("%s: the count is wrong", tt.name)
		}
	}
}

func TestOfManyNamesOnlyTheServerIsKept(t *testing.T) {
	m := flow.NewMemory(config.Conversation{For: time.Hour}, newClock().now)
	ann := m.Of(who("ann"), client("desk", ""))
	m.Note(ann, src("web/"+strings.Repeat("x", 10_000)))
	for i := range 1000 {
		m.Note(ann, src(fmt.Sprintf("files/%d", i)))
	}
	got := m.Seen(ann)
	if len(got) > 40 || !slices.Contains(got, src("web")) || !slices.Contains(got, src("files")) {
		t.Errorf("got %d sources, %v, want few, among them both servers as a whole", len(got), texts(got))
	}
	for s := range 100 {
		m.Note(ann, src(fmt.Sprintf("s%d/x", s)))
	}
	if got := m.Seen(ann); len(got) > 102 || !slices.Contains(got, src("s0")) || !slices.Contains(got, src("files")) {
		t.Errorf("got %v, want each server once", texts(got))
	}
}

func TestManyReadAtOnce(t *testing.T) {
	m := flow.NewMemory(config.Conversation{By: "session", For: time.Hour}, nil)
	m.Bound(50, 20, 300)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 300 {
				me := m.Of(who(fmt.Sprint(i)), client("c", fmt.Sprint(j%30)))
				m.Note(me, src(fmt.Sprintf("s%d/x", i)))
				got := m.Seen(me)
				if !slices.Contains(got, src(fmt.Sprintf("s%d/x", i))) {
					t.Errorf("%d/%d has read %v, want s%d", i, j, texts(got), i)
				}
				if len(got) > 1 {
					t.Errorf("%d/%d has read %v, which others have read", i, j, texts(got))
				}
			}
		})
	}
	wg.Wait()
}

func TestFlowsStandBetweenWhatTheyName(t *testing.T) {
	cfg := &config.Config{Names: config.Names{Separator: "__"}, Access: config.Access{Flows: []config.Flow{
		{Name: "web-to-mail", From: []string{"web"}, To: []string{"mail", "files__write_*"}, Except: []string{"mail__search", "mail__get_*"}, Do: "ask"},
		{From: []string{"files__read_*"}, To: []string{"*"}, Except: []string{"files"}, Do: "refuse"},
		{Name: "docs", From: []string{"docs__file:///in/*"}, To: []string{"mail__send"}, Do: "ask"},
	}}}
	r := flow.Compile(cfg)
	for _, tt := range []struct{ name, read, to, want string }{
		{"nothing was read", "", "mail/send", ""},
		{"a server that no flow names was read", "db/query", "mail/send", ""},
		{"what was read is in the way of a whole server", "web/fetch", "mail/send", "flow:web-to-mail ask web/fetch"},
		{"and of tools by a pattern", "web/fetch", "files/write_file", "flow:web-to-mail ask web/fetch"},
		{"not of its other tools", "web/fetch", "files/read_file", ""},
		{"not of what is excepted", "web/fetch", "mail/search", ""},
		{"nor by a pattern", "web/fetch", "mail/get_one", ""},
		{"what is done to a server as a whole is not excepted by an exception for some of it", "web/fetch", "mail", "flow:web-to-mail ask web/fetch"},
		{"reading of a server as a whole can have been anything", "files", "mail/send", "flow:2 refuse files"},
		{"a refusal comes before a question", "web/fetch files/read_file", "mail/send", "flow:2 refuse files/read_file"},
		{"only what a flow is about is named", "web/fetch db/query web/find", "mail/send", "flow:web-to-mail ask web/fetch,web/find"},
		{"the first that asks", "web/fetch docs/file:///in/a", "mail/send", "flow:web-to-mail ask web/fetch"},
		{"resources are named by URI", "docs/file:///in/a", "mail/send", "flow:docs ask docs/file:///in/a"},
		{"and not others", "docs/file:///out/a", "mail/send", ""},
		{"a server as a whole is excepted", "files/read_file", "files/write_file", ""},
		{"a name like that of a server is none", "webx/fetch", "mail/send", ""},
	} {
		var read []flow.Source
		for _, text := range strings.Fields(tt.read) {
			read = append(read, src(text))
		}
		v, got := r.Judge(src(tt.to), read), ""
		if v.Rule != "" {
			got = v.Rule + map[bool]string{true: " ask ", false: " refuse "}[v.Ask] + strings.Join(texts(v.Read), ",")
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: after %q to %s (-want +got):\n%s", tt.name, tt.read, tt.to, diff)
		}
		for _, s := range read {
			if v.Rule != "" && slices.Contains(v.Read, s) && !r.Reads(s) {
				t.Errorf("%s: %v is not remembered", tt.name, s)
			}
		}
	}
	if r.Reads(src("db/query")) {
		t.Error("db is remembered, which no flow begins with")
	}
}

func BenchmarkSeen(b *testing.B) {
	m := flow.NewMemory(config.Conversation{}, nil)
	for i := range 1000 {
		m.Note(m.Of(who(fmt.Sprint(i)), client("desk", "")), src("web/fetch"))
	}
	p, c := who("77"), client("desk", "")
	b.ReportAllocs()
	for b.Loop() {
		if len(m.Seen(m.Of(p, c))) == 0 {
			b.Fatal("nothing was read")
		}
	}
}

func BenchmarkNote(b *testing.B) {
	m := flow.NewMemory(config.Conversation{}, nil)
	p, c := who("77"), client("desk", "")
	b.ReportAllocs()
	for b.Loop() {
		m.Note(m.Of(p, c), src("web/fetch"))
	}
}
