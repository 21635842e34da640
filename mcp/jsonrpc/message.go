// Package jsonrpc reads and writes one JSON-RPC 2.0 message. Reading is strict and takes one pass: RFC 8259 grammar, valid
// UTF-8, no byte order mark, no bytes after the message, bounded depth, bounded numbers, no object with the same name twice,
// and in the envelope, in params and in `_meta` no member that could be mistaken for one of the protocol's by a reader that
// ignores case. So whoever decides on a request's method, names and `_meta` decides on what the next reader will see. Inside
// arguments and results names may differ by case alone, and there a reader that ignores case is on its own.
//
// After that, params and results stay the bytes that they were: members can be looked at, replaced and removed, and all else
// is carried untouched, unknown members and large numbers included.
//
// The package knows the form of a message and the names of the protocol's members (names.go). It does not know what a method
// means, what belongs in its params, who sent the message or over what, and it bounds no sizes: who reads from the wire does.
package jsonrpc

// Message is one request, notification or response. A request has Method and ID, a notification Method only, a response
// Result or Error. Params and Result alias the bytes given to Parse.
type Message struct {
	// ID is empty in a notification, and in an error response to a request whose id could not be read.
	ID     ID
	Method string
	// Params is absent or an object: MCP has no positional parameters.
	Params Object
	Result Object
	// Edits are applied to Result when it is written, so that a large one need not be copied for a member more or less. A
	// message that was parsed has none.
	Edits []Edit
	Error *Error
}

// IsRequest reports whether m wants an answer.
func (m Message) IsRequest() bool { return m.Method != "" && m.ID != "" }

// IsNotification reports whether m is sent without wanting an answer.
func (m Message) IsNotification() bool { return m.Method != "" && m.ID == "" }

// IsResponse reports whether m answers a request.
func (m Message) IsResponse() bool {
	return m.Method == "" && (m.Error != nil || !m.Result.IsZero())
}

// Append appends the text of m to dst. Params, the result and the error's data are written as they are, so a message that
// was parsed and whose parts were made by this package is valid. A message without Method is a response: Error wins over
// Result, an absent Result is written as `{}` and an absent ID as null. Members of the envelope that the protocol does not
// define are not kept by Parse and so not written.
func (m Message) Append(dst []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0"`...)
	if m.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = append(dst, m.ID...)
	}
	if m.Method != "" {
		dst = append(dst, `,"method":`...)
		dst = AppendString(dst, m.Method)
		if !m.Params.IsZero() {
			dst = append(dst, `,"params":`...)
			dst = append(dst, m.Params.raw...)
		}
		return append(dst, '}')
	}
	if m.ID == "" {
		dst = append(dst, `,"id":null`...)
	}
	if m.Error != nil {
		dst = append(dst, `,"error":`...)
		dst = m.Error.Append(dst)
		return append(dst, '}')
	}
	dst = append(dst, `,"result":`...)
	dst = m.Result.Append(dst, m.Edits...)
	return append(dst, '}')
}

// Parse reads one message, surrounded by nothing but white space. Its error is an *Error with CodeParse when data is not
// JSON and with CodeInvalidRequest when it is JSON but no message, and says what is wrong at which byte. The Message that
// comes with an error holds the ID and the Method if these could be read without doubt, so that the error can be sent to
// whom it concerns; nothing else in it is set.
//
// The slices in the Message alias data; its strings do not.
func Parse(data []byte, lim Limits) (Message, error) {
	var names nameStack
	s := scanner{data: data, max: lim.depth(), names: &names}
	r := reader{data: data}
	i := s.begin()
	if i >= 0 {
		i = r.message(&s, i)
	}
	s.end(i)
	if f := s.fault(); f.found() {
		return Message{ID: r.msg.ID, Method: r.msg.Method}, f.err()
	}
	return r.msg, nil
}

// IsBatch reports whether data is meant as a batch: whether its first byte that is not white space opens an array.
func IsBatch(data []byte) bool {
	i := skipSpace(data, 0)
	return i < len(data) && data[i] == '['
}

// ParseBatch reads an array of 1 to lim.MaxBatch messages, each as Parse does (JSON-RPC 2.0 §6; MCP has batches in revision
// 2025-03-26 only). One bad message fails the batch.
func ParseBatch(data []byte, lim Limits) ([]Message, error) {
	var names nameStack
	s := scanner{data: data, max: lim.depth(), names: &names}
	msgs := readBatch(&s, lim.batch())
	if f := s.fault(); f.found() {
		return nil, f.err()
	}
	return msgs, nil
}

func readBatch(s *scanner, most int) []Message {
	i := s.begin()
	if i < 0 {
		return nil
	}
	start := i
	if s.data[i] != '[' {
		s.note(i, "batch is not an array")
		s.end(s.value(i, 0))
		return nil
	}
	if i = s.space(i + 1); i < len(s.data) && s.data[i] == ']' {
		s.note(start, "batch is empty")
		s.end(i + 1)
		return nil
	}
	var msgs []Message
	for last := false; !last; {
		if len(msgs) == most {
			s.note(i, "batch holds too many messages, send fewer at a time")
			return nil
		}
		r := reader{data: s.data}
		if i = r.message(s, i); i < 0 {
			return nil
		}
		msgs = append(msgs, r.msg)
		if i, last = s.next(i, ']'); i < 0 {
			return nil
		}
	}
	s.end(i)
	return msgs
}

// ParseObject reads raw as one JSON object, with the strictness of Parse except that all names are free.
func ParseObject(raw []byte, lim Limits) (Object, error) {
	var names nameStack
	s := scanner{data: raw, max: lim.depth(), names: &names}
	r := reader{data: raw}
	var o Object
	i := s.begin()
	if i >= 0 && raw[i] == '{' {
		o, i = r.object(&s, i, 1, plain)
	} else if i >= 0 {
		s.note(i, "not an object")
		i = s.value(i, 0)
	}
	s.end(i)
	if f := s.fault(); f.found() {
		return Object{}, f.err()
	}
	return o, nil
}
