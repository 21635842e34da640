package jsonrpc

import "strconv"

// ID is the JSON text of a request's id, a number or a string, exactly as the peer wrote it: a number beyond 2^53 and the
// difference between 1 and "1" survive. The zero ID is no id. IDs are comparable by their text, which is enough to pair a
// response with a request whose id this program chose; two spellings of one string (`"a"`, `"\u0061"`) differ.
type ID string

// NumberID returns the id of the number n.
func NumberID(n int64) ID { return ID(strconv.FormatInt(n, 10)) }

// StringID returns the id of the string s.
func StringID(s string) ID { return ID(AppendString(nil, s)) }

// IsZero reports whether there is no id: a notification, or an error response to something unreadable.
func (id ID) IsZero() bool { return id == "" }
