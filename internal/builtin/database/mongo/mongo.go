// Package mongo reads databases of MongoDB and of what speaks its protocol. What
// only reads is held four times: the role (Posture), four commands of the protocol
// and no other (find, aggregate, count, distinct), a verdict on every stage and
// every operator of a question at any depth, of which those known to only read are
// let through, and no code that the server would run. It also writes, by another
// type with a client of its own.
//
// It does not know MCP, nor who asks, nor how to reach a network.
package mongo

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// Options say which database, and bound it.
type Options struct {
	DSN      string // mongodb://user:password@host:port/database
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	TLS      *tls.Config // verifies the server, whatever the URL leaves open; nil for what the URL says
	MaxConns int         // 4 when 0
}

const (
	// killLimit is how long the server has to end a question after it was told to.
	killLimit = 700 * time.Millisecond
	// timeLimit is that of a question whose context has none.
	timeLimit = 10 * time.Minute
)

// link is a client that connects when it is used, with what is known of the server.
type link struct {
	name    string
	options *options.ClientOptions

	// one is held by whoever uses what follows; others wait no longer than their
	// calls last.
	one      chan struct{}
	client   *mongo.Client
	sessions bool // the server has sessions, by which work is ended
	closed   bool
}

func newLink(o Options) (*link, error) {
	if o.MaxConns == 0 {
		o.MaxConns = 4
	}
	name, options, err := configure(o)
	if err != nil {
		return nil, err
	}
	return &link{name: name, options: options, one: make(chan struct{}, 1)}, nil
}

var errClosed = errors.New("the source is closed")

// open gives the database, and asks the server once what it can.
func (l *link) open(ctx context.Context) (*mongo.Database, error) {
	select {
	case l.one <- struct{}{}:
		defer func() { <-l.one }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case l.closed:
		return nil, errClosed
	case l.client != nil:
		return l.client.Database(l.name), nil
	}
	client, err := mongo.Connect(l.options)
	if err != nil {
		return nil, err
	}
	var hello struct {
		Sessions *int64 `bson:"logicalSessionTimeoutMinutes"`
	}
	if err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return nil, errors.Join(err, disconnect(client))
	}
	l.client, l.sessions = client, hello.Sessions != nil
	return client.Database(l.name), nil
}

func disconnect(client *mongo.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	return client.Disconnect(ctx)
}

// Close ends all connections.
func (l *link) Close() error {
	l.one <- struct{}{}
	defer func() { <-l.one }()
	l.closed = true
	if l.client == nil {
		return nil
	}
	return disconnect(l.client)
}

// do runs f with a session of its own, when the server has sessions, and ends on
// the server what f has begun there when the context ends first.
func (l *link) do(ctx context.Context, f func(context.Context, *mongo.Database) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	db, err := l.open(ctx)
	if err != nil {
		return told(ctx, err)
	}
	if !l.sessions { // it does not change after open
		return told(ctx, f(ctx, db))
	}
	session, err := db.Client().StartSession()
	if err != nil {
		return err
	}
	err = f(mongo.NewSessionContext(ctx, session), db)
	aside, done := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
	defer done()
	if ctx.Err() != nil {
		_ = db.Client().Database("admin").RunCommand(aside, bson.D{{Key: "killSessions", Value: bson.A{session.ID()}}}).Err()
	}
	session.EndSession(aside)
	return told(ctx, err)
}

// untold is a context whose end is not told to the server as maxTimeMS, which those
// that are not MongoDB's may not know in distinct.
type untold struct{ context.Context }

func (untold) Deadline() (time.Time, bool) { return time.Time{}, false }

// Source is one database that is only read.
type Source struct{ *link }

var _ engine.Source = (*Source)(nil)

// Open returns a source. Nothing is connected before it is used.
func Open(o Options) (*Source, error) {
	l, err := newLink(o)
	if err != nil {
		return nil, err
	}
	return &Source{l}, nil
}

// Run asks one question.
func (s *Source) Run(ctx context.Context, q engine.Query, rows engine.Rows) error {
	question, err := ask(q)
	if err != nil {
		return err
	}
	p := &pouring{rows: rows, skip: question.skip, most: q.Max, paths: q.Find.Columns}
	rows.Columns(columns(q.Find))
	return s.do(ctx, func(ctx context.Context, db *mongo.Database) error {
		switch question.name {
		case "find", "aggregate":
			return pour(ctx, db, question.command, p)
		}
		answer, err := db.RunCommand(ctx, question.command).Raw()
		if err != nil && question.name == "distinct" && strings.Contains(err.Error(), "maxTimeMS") {
			answer, err = db.RunCommand(untold{ctx}, question.command).Raw()
		}
		if err != nil {
			return err
		}
		if question.name == "count" {
			_, err = p.value("count", answer.Lookup("n"))
			return err
		}
		return values(answer, p)
	})
}

// values pours what distinct has answered.
func values(answer bson.Raw, p *pouring) error {
	list, is := answer.Lookup("values").ArrayOK()
	if !is {
		return errBSON
	}
	all, err := list.Values()
	if err != nil {
		return errBSON
	}
	for _, value := range all {
		if more, err := p.value("value", value); err != nil || !more {
			return err
		}
	}
	return nil
}

// pour takes documents from a cursor, which is closed, on the server too, when no
// more are wanted.
func pour(ctx context.Context, db *mongo.Database, command bson.D, p *pouring) error {
	cursor, err := db.RunCommandCursor(ctx, command)
	if err != nil {
		return err
	}
	defer func() {
		aside, done := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
		defer done()
		_ = cursor.Close(aside)
	}()
	cursor.SetBatchSize(batch)
	for cursor.Next(ctx) {
		if more, err := p.document(cursor.Current); err != nil || !more {
			return err
		}
	}
	return cursor.Err()
}

// Explain shows the plan of a question, which is not run.
func (s *Source) Explain(ctx context.Context, q engine.Query) (string, error) {
	q.Max = max(q.Max, 1)
	question, err := ask(q)
	if err != nil {
		return "", err
	}
	var plan []byte
	err = s.do(ctx, func(ctx context.Context, db *mongo.Database) error {
		answer, err := db.RunCommand(ctx, bson.D{{Key: "explain", Value: question.command}, {Key: "verbosity", Value: "queryPlanner"}}).Raw()
		if err != nil {
			return err
		}
		plan, err = appendPlan(nil, answer)
		return err
	})
	return string(plan), err
}

// appendPlan appends an explanation without what tells of the server.
func appendPlan(b []byte, answer bson.Raw) ([]byte, error) {
	elements, err := answer.Elements()
	if err != nil {
		return b, errBSON
	}
	for _, e := range elements {
		if engine.Listed("serverInfo serverParameters $clusterTime operationTime ok command", e.Key()) {
			continue
		}
		b = append(append(b, e.Key()...), ": "...)
		if b, err = appendValue(b, e.Value()); err != nil {
			return b, err
		}
		b = append(b, '\n')
	}
	return b, nil
}

// Dialect says that there is none.
func (s *Source) Dialect() engine.Dialect { return engine.Dialect{Name: "mongodb"} }

// Ping asks the server whether it is there.
func (s *Source) Ping(ctx context.Context) error {
	return s.do(ctx, func(ctx context.Context, db *mongo.Database) error {
		return db.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err()
	})
}
