package jsonrpc

import (
	"bytes"
	"strconv"
)

// reader takes a message out of the text that a scanner checks, in the same pass. It holds everything that leaves Parse; the
// scanner holds everything that does not.
type reader struct {
	data    []byte
	msg     Message
	seen    parts
	strings stringPool
}

// parts says which members of the envelope were there, whatever was in them.
type parts struct {
	version, id, nullID, method, params, result, err bool
	code, text                                       bool // of the error
}

// message reads one message from i. What is wrong with its form is noted in s.
func (r *reader) message(s *scanner, i int) int {
	if i >= len(r.data) || r.data[i] != '{' {
		s.note(i, "message is not an object")
		return s.value(i, 0)
	}
	_, end := r.object(s, i, 1, inMessage)
	if end >= 0 {
		r.judge(s, i)
	}
	return end
}

// judge notes what is wrong with the message as a whole; it begins at i.
func (r *reader) judge(s *scanner, i int) {
	switch p := r.seen; {
	case !p.version:
		s.note(i, `member "jsonrpc" is missing, send "2.0"`)
	case p.method && (p.result || p.err):
		s.note(i, `"method" stands beside "result" or "error", send one of them`)
	case p.method && p.nullID:
		s.note(i, `"id" of a request is null, send a string or an integer`)
	case p.method:
	case !p.result && !p.err:
		s.note(i, `none of "method", "result" and "error" is there`)
	case p.result && p.err:
		s.note(i, `"result" stands beside "error", send one of them`)
	case p.params:
		s.note(i, `"params" stands in a response`)
	case p.result && (!p.id || p.nullID):
		s.note(i, `"result" stands without the "id" of its request`)
	}
}

// object reads the object whose brace is at i. Its members are recorded, except of objects that have a reader of their own.
func (r *reader) object(s *scanner, i, depth int, at level) (Object, int) {
	start := i
	if i++; !s.enter(i, depth) {
		return Object{}, -1
	}
	if i = s.space(i); i < len(r.data) && r.data[i] == '}' {
		return Object{raw: r.data[start : i+1 : i+1]}, i + 1
	}
	var buf [8]Member
	members := buf[:0]
	names := nameSet{base: len(s.names.all())}
	for last := false; !last; {
		nameAt := i
		var name []byte
		if name, i = s.name(i, &names); i < 0 {
			return Object{}, i
		}
		known := at.check(s, name, nameAt)
		begin := i
		if i = r.value(s, i, depth, at, known); i < 0 {
			return Object{}, i
		}
		if at.recorded() {
			if known == "" {
				known = r.strings.keep(name)
			}
			members = append(members, Member{known, r.data[begin:i:i]})
		}
		if i, last = s.next(i, '}'); i < 0 {
			return Object{}, i
		}
	}
	s.names.cut(names.base)
	return Object{raw: r.data[start:i:i], members: copied(members)}, i
}

// check notes a name that could be mistaken for one of the protocol's at this level, and returns name if it is one of them.
func (l level) check(s *scanner, name []byte, i int) string {
	exact, alike := l.look(name)
	if alike != "" {
		s.note(i, "member "+quoted(name)+` can be mistaken for "`+alike+`", send that`)
	}
	return exact
}

// value reads the value at i of the member name of an object at the given level. name is empty when the protocol does not
// define it.
func (r *reader) value(s *scanner, i, depth int, at level, name string) int {
	switch {
	case at == inMessage:
		return r.member(s, i, name)
	case at == inError:
		return r.errorMember(s, i, name)
	case name == "_meta" && i < len(r.data) && r.data[i] == '{':
		_, i = r.object(s, i, depth+1, inMeta)
		return i
	}
	return s.value(i, depth)
}

// member reads a member of the envelope.
func (r *reader) member(s *scanner, i int, name string) int {
	switch name {
	case "jsonrpc":
		return r.version(s, i)
	case "id":
		return r.id(s, i)
	case "method":
		return r.method(s, i)
	case "params":
		r.seen.params = true
		var end int
		r.msg.Params, end = r.part(s, i, inParams, `"params" is not an object`)
		return end
	case "result":
		r.seen.result = true
		var end int
		r.msg.Result, end = r.part(s, i, inResult, `"result" is not an object`)
		return end
	case "error":
		r.seen.err = true
		return r.error(s, i)
	}
	return s.value(i, 1)
}

// part reads params or result.
func (r *reader) part(s *scanner, i int, at level, why string) (Object, int) {
	if i < len(r.data) && r.data[i] == '{' {
		return r.object(s, i, 2, at)
	}
	s.note(i, why)
	return Object{}, s.value(i, 1)
}

func (r *reader) version(s *scanner, i int) int {
	r.seen.version = true
	end := s.value(i, 1)
	if end < 0 {
		return end
	}
	if text := r.data[i:end]; string(text) != `"2.0"` && replaceLone(text) != "2.0" {
		s.note(i, `"jsonrpc" is not "2.0"`)
	}
	return end
}

func (r *reader) id(s *scanner, i int) int {
	end := s.value(i, 1)
	if end < 0 {
		return end
	}
	first := !r.seen.id
	r.seen.id = true
	r.msg.ID = ""
	text := r.data[i:end]
	switch {
	case string(text) == "null":
		r.seen.nullID = true
	case text[0] != '"' && text[0] != '-' && !isDigit(text[0]):
		s.note(i, `"id" is neither a string nor an integer`)
	case text[0] != '"' && (len(text) > maxNumber || bytes.ContainsAny(text, ".eE")):
		s.note(i, `"id" is a number with a fraction, an exponent or too many digits, send an integer`)
	case first:
		r.msg.ID = ID(r.strings.keep(text))
	}
	return end
}

func (r *reader) method(s *scanner, i int) int {
	if i >= len(r.data) || r.data[i] != '"' {
		r.seen.method = true
		s.note(i, `"method" is not a string`)
		return s.value(i, 1)
	}
	end, escaped := s.text(i + 1)
	if end < 0 {
		return end
	}
	first := !r.seen.method
	r.seen.method = true
	r.msg.Method = ""
	name, ok := r.data[i+1:end-1], true
	if escaped {
		name, ok = unescape(nil, name)
	}
	switch {
	case !ok:
		s.note(i, `"method" holds a lone surrogate`)
	case len(name) == 0:
		s.note(i, `"method" is empty`)
	case first:
		r.msg.Method = r.strings.keep(name)
	}
	return end
}

// error reads the error of a response (JSON-RPC 2.0 §5.1: code and message are required, code is an integer).
func (r *reader) error(s *scanner, i int) int {
	if i >= len(r.data) || r.data[i] != '{' {
		s.note(i, `"error" is not an object`)
		return s.value(i, 1)
	}
	r.msg.Error = new(Error)
	r.seen.code, r.seen.text = false, false
	_, end := r.object(s, i, 2, inError)
	if end >= 0 && !(r.seen.code && r.seen.text) {
		s.note(i, `"error" has no "code" or no "message"`)
	}
	return end
}

func (r *reader) errorMember(s *scanner, i int, name string) int {
	end := s.value(i, 2)
	if end < 0 {
		return end
	}
	text := r.data[i:end]
	switch name {
	case "code":
		code, err := strconv.Atoi(string(text))
		if err != nil {
			s.note(i, `"code" of an error is not an integer`)
		}
		r.msg.Error.Code, r.seen.code = code, true
	case "message":
		if text[0] != '"' {
			s.note(i, `"message" of an error is not a string`)
		}
		r.msg.Error.Message, r.seen.text = replaceLone(text), true
	case "data":
		r.msg.Error.Data = text[:len(text):len(text)]
	}
	return end
}
