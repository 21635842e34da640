package mongo_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// fake speaks as much of MongoDB's protocol (OP_MSG, and OP_QUERY for the first
// word) as the driver needs to believe it, with sessions and privileges, which the
// real server of the other tests has not. What it is asked it keeps.
type fake struct {
	t      *testing.T
	listen net.Listener
	wg     sync.WaitGroup
	hold   chan struct{} // find is not answered before this is closed
	begun  chan struct{} // gets one for each find
	status bson.D        // what connectionStatus answers

	mu    sync.Mutex
	asked []bson.D
	conns []net.Conn
}

func newFake(t *testing.T, status bson.D) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, listen: l, hold: make(chan struct{}), begun: make(chan struct{}, 100), status: status}
	f.wg.Go(f.accept)
	t.Cleanup(func() {
		l.Close()
		close(f.hold)
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

func (f *fake) url() string { return "mongodb://" + f.listen.Addr().String() + "/test" }

func (f *fake) accept() {
	for {
		c, err := f.listen.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, c)
		f.mu.Unlock()
		f.wg.Go(func() { f.serve(c) })
	}
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	for {
		var head [16]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(head[:])-16)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		old := binary.LittleEndian.Uint32(head[12:]) == 2004 // OP_QUERY
		document := body[5:]
		if old { // flags, name, zero, skip, return
			end := 4
			for body[end] != 0 {
				end++
			}
			document = body[end+9:]
		}
		var command bson.D
		if err := bson.Unmarshal(document[:binary.LittleEndian.Uint32(document)], &command); err != nil {
			return
		}
		answer, err := bson.Marshal(f.answer(command))
		if err != nil {
			return
		}
		code, prefix := uint32(2013), make([]byte, 5)
		if old {
			code, prefix = 1, make([]byte, 20)
			prefix[16] = 1 // one document
		}
		out := binary.LittleEndian.AppendUint32(nil, uint32(16+len(prefix)+len(answer)))
		out = append(append(out, 9, 0, 0, 0), head[4:8]...)
		out = append(append(binary.LittleEndian.AppendUint32(out, code), prefix...), answer...)
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func (f *fake) answer(command bson.D) bson.D {
	f.mu.Lock()
	f.asked = append(f.asked, command)
	f.mu.Unlock()
	switch command[0].Key {
	case "hello", "isMaster", "ismaster":
		return bson.D{{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "helloOk", Value: true}, {Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21},
			{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize", Value: 100_000}, {Key: "logicalSessionTimeoutMinutes", Value: 30}}
	case "find":
		f.begun <- struct{}{}
		<-f.hold
	case "connectionStatus":
		return bson.D{{Key: "ok", Value: 1}, {Key: "authInfo", Value: f.status}}
	}
	return bson.D{{Key: "ok", Value: 1}}
}

// find looks for a command that was asked.
func (f *fake) find(name string) (bson.D, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, command := range f.asked {
		if command[0].Key == name {
			return command, true
		}
	}
	return nil, false
}

func lookup(d bson.D, name string) any {
	for _, e := range d {
		if e.Key == name {
			return e.Value
		}
	}
	return nil
}

func TestACancelledQuestionIsEndedOnTheServer(t *testing.T) {
	f := newFake(t, nil)
	s := open(t, f.url())
	ctx, cancel := contextOf(t)
	go func() {
		<-f.begun
		cancel()
	}()
	began := time.Now()
	_, err := find(ctx, s, engine.Find{Collection: "people"})
	if err == nil || time.Since(began) > 30*time.Second {
		t.Errorf("got %v after %v, want that it ends with its context", err, time.Since(began))
	}
	question, asked := f.find("find")
	if !asked {
		t.Fatal("find was not asked")
	}
	kill, killed := f.find("killSessions")
	if !killed {
		t.Fatalf("the server was not told; it was asked %v", f.asked)
	}
	mine, _ := lookup(question, "lsid").(bson.D)
	theirs, _ := kill[0].Value.(bson.A)
	if len(theirs) != 1 || mine == nil || fmt.Sprint(theirs[0]) != fmt.Sprint(mine) {
		t.Errorf("ended %v, want the session %v", theirs, mine)
	}
	if limit, _ := lookup(question, "maxTimeMS").(int64); limit < 1 || limit > 60_000 {
		t.Errorf("the server was told the limit %v ms, want that of the context, a minute", limit)
	}
	for name, want := range map[string]any{"limit": int64(1000), "allowDiskUse": false, "$db": "test"} {
		if got := lookup(question, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestARoleIsLookedAt(t *testing.T) {
	for _, tc := range []struct{ name, status, want string }{
		{"one that reads", `{"authenticatedUsers": [{"user": "r", "db": "admin"}], "authenticatedUserPrivileges": [{"resource": {"db": "test", "collection": ""}, "actions": ["find", "listCollections", "collStats"]}]}`, ""},
		{"one that writes", `{"authenticatedUsers": [{"user": "w", "db": "admin"}], "authenticatedUserPrivileges": [{"resource": {"db": "test", "collection": ""}, "actions": ["find", "remove", "insert"]}]}`, "may insert, remove on test"},
		{"one that may everything", `{"authenticatedUsers": [{"user": "w", "db": "admin"}], "authenticatedUserPrivileges": [{"resource": {"anyResource": true}, "actions": ["anyAction"]}]}`, "may anyAction on anyResource"},
		{"nobody", `{"authenticatedUsers": []}`, "the server asks nobody who they are, so everybody may write"},
		{"one of which nothing is said", `{"authenticatedUsers": [{"user": "w", "db": "admin"}]}`, "the server does not say what the role may do"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var status bson.D
			if err := bson.UnmarshalExtJSON([]byte(tc.status), false, &status); err != nil {
				t.Fatal(err)
			}
			p, err := open(t, newFake(t, status).url()).Posture(t.Context())
			got := ""
			if len(p.Excess) > 0 {
				got = p.Excess[0]
			}
			if err != nil || got != tc.want || (p.Remedy != "") != (tc.want != "") {
				t.Errorf("got %+v, %v, want %q", p, err, tc.want)
			}
		})
	}
}
