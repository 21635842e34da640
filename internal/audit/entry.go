package audit

import (
	"strconv"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// kind is what a record is about.
type kind string

const (
	kindIntent    kind = "intent"    // a call is about to be made
	kindOutcome   kind = "outcome"   // it has ended
	kindCall      kind = "call"      // a call that has ended and changes nothing: intent and outcome in one
	kindRefusal   kind = "refusal"   // a call that was not made, since it may not be
	kindEvent     kind = "event"     // something else that somebody did
	kindOpened    kind = "opened"    // the log was opened
	kindRecovered kind = "recovered" // the log was opened, or went on, and something was cut off before
)

// entry is a record before it has its place in the log.
type entry struct {
	kind kind
	of   uint64 // the intent that an outcome belongs to
	time time.Time

	principal, auth  string
	client, revision string
	method           string
	server           string
	name             string // the tool, prompt, resource or task
	definition       string
	decision         Decision
	arguments        []byte // JSON, as it was sent; nil for none

	outcome  string
	code     int // of the error that was answered; 0 for none
	in, out  int // bytes of params and of the result
	duration time.Duration

	trace, request string
	text           string
	attrs          [][2]string
}

const timeForm = "2006-01-02T15:04:05.000000Z"

// append writes the members of the record after seq and batch, and the closing
// brace. Their order is fixed, and what is empty is left out. Of arguments that is
// written what l may show.
func (e *entry) append(dst []byte, l *Log) []byte {
	dst = append(append(append(dst, `,"kind":"`...), e.kind...), '"')
	if e.of != 0 {
		dst = strconv.AppendUint(append(dst, `,"of":`...), e.of, 10)
	}
	dst = append(appendTime(append(dst, `,"time":"`...), e.time), '"')
	for _, m := range [...][2]string{
		{"principal", e.principal}, {"auth", e.auth}, {"client", e.client}, {"revision", e.revision}, {"method", e.method},
		{"server", e.server}, {"name", e.name}, {"definition", e.definition}, {"decision", e.decision.Effect},
		{"rule", e.decision.Rule}, {"policy", e.decision.Policy},
	} {
		dst = member(dst, m[0], m[1])
	}
	if e.arguments != nil {
		dst = l.appendArguments(dst, e.arguments)
	}
	dst = member(dst, "outcome", e.outcome)
	for _, n := range [...]struct {
		name  string
		value int64
	}{{"code", int64(e.code)}, {"bytes_in", int64(e.in)}, {"bytes_out", int64(e.out)}, {"duration_us", e.duration.Microseconds()}} {
		if n.value != 0 {
			dst = append(append(append(dst, ',', '"'), n.name...), '"', ':')
			dst = strconv.AppendInt(dst, n.value, 10)
		}
	}
	dst = member(member(dst, "trace", e.trace), "request", e.request)
	dst = member(dst, "text", e.text)
	if len(e.attrs) > 0 {
		dst = append(dst, `,"attrs":{`...)
		for i, a := range e.attrs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsonrpc.AppendString(append(jsonrpc.AppendString(dst, a[0]), ':'), a[1])
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func member(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, ',', '"'), name...), '"', ':')
	return jsonrpc.AppendString(dst, value)
}
