package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxArgumentDepth bounds how deep arguments are read. What is deeper is a
// fault, and so a refusal, when a policy asks for it.
const maxArgumentDepth = 32

var (
	errTooDeep = errors.New("the arguments are nested too deep for policies")
	errText    = errors.New("a text in the arguments has characters that do not exist")
)

// context gives policies what they look at, and nothing else: to make a record
// costs more than to evaluate most policies. Of arguments only those are read that
// a policy names.
func (q *Question) context(n needs, now time.Time) (cedar.Record, error) {
	if !n.context {
		return cedar.Record{}, nil
	}
	m := make(cedar.RecordMap, 5)
	if n.wants(arguments) {
		given, err := q.arguments(n)
		if err != nil {
			return cedar.Record{}, err
		}
		m[arguments] = given
	}
	if n.wants("time") {
		m["time"] = cedar.NewDatetime(now)
	}
	if n.wants("revision") {
		m["revision"] = cedar.String(q.Revision)
	}
	if n.wants(seen) {
		m[seen] = q.servers()
	}
	if a := q.from(); a.IsValid() && n.wants(address) {
		prefix, err := a.Prefix(a.BitLen())
		if err != nil {
			return cedar.Record{}, err
		}
		m[address] = types.IPAddr(prefix)
	}
	return cedar.NewRecord(m), nil
}

// from is where the call comes from as policies see it; invalid when that is not known.
func (q *Question) from() netip.Addr { return q.Address.Unmap().WithZone("") }

func (q *Question) arguments(n needs) (cedar.Record, error) {
	m := make(cedar.RecordMap)
	for _, member := range q.Arguments.Members() {
		if !n.all && !slices.Contains(n.names, member.Name) {
			continue
		}
		v, err := value(member.Value, 0)
		if err != nil {
			return cedar.Record{}, err
		}
		if v != nil {
			m[cedar.String(member.Name)] = v
		}
	}
	return cedar.NewRecord(m), nil
}

// value maps JSON to Cedar: objects are records, arrays are sets, whole numbers
// that fit are Long, others with at most four digits after the point are
// decimal, all other numbers are the text that stands there, and null is absent.
func value(raw []byte, depth int) (cedar.Value, error) {
	if depth > maxArgumentDepth {
		return nil, errTooDeep
	}
	switch raw[0] {
	case '"':
		s, ok := jsonrpc.Unquote(raw)
		if !ok {
			return nil, errText
		}
		return cedar.String(s), nil
	case '{':
		return record(raw, depth)
	case '[':
		return set(raw, depth)
	case 't':
		return cedar.True, nil
	case 'f':
		return cedar.False, nil
	case 'n':
		return nil, nil
	}
	return number(string(raw)), nil
}

func record(raw []byte, depth int) (cedar.Value, error) {
	o, ok := jsonrpc.Split(raw)
	if !ok {
		return nil, errText
	}
	m := make(cedar.RecordMap)
	for _, member := range o.Members() {
		v, err := value(member.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if v != nil {
			m[cedar.String(member.Name)] = v
		}
	}
	return cedar.NewRecord(m), nil
}

func set(raw []byte, depth int) (cedar.Value, error) {
	var values []cedar.Value
	for element := range jsonrpc.Elements(raw) {
		v, err := value(element, depth+1)
		if err != nil {
			return nil, err
		}
		if v != nil {
			values = append(values, v)
		}
	}
	return cedar.NewSet(values...), nil
}

func number(text string) cedar.Value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return cedar.Long(n)
	}
	if _, fraction, ok := strings.Cut(text, "."); ok && len(fraction) <= 4 {
		if d, err := types.ParseDecimal(text); err == nil {
			return d
		}
	}
	return cedar.String(text)
}
