// Package sse reads and writes event streams (the media type
// text/event-stream, WHATWG HTML, section "Server-sent events") with bounds on
// what one event may take.
//
// It knows nothing of HTTP, of MCP or of what the events carry.
package sse

import (
	"strconv"
	"strings"
	"time"
)

// Event is one event of a stream.
type Event struct {
	// ID is the id that this event sets; empty when it sets none.
	ID string
	// Name is the event's type; empty means "message".
	Name string
	// Data is nil when the event has no data field. An event that only sets an
	// id has empty data that is not nil, or none.
	Data []byte
	// Retry is the reconnection time that the event sets, in whole
	// milliseconds; 0 when it sets none.
	Retry time.Duration
}

// Append appends e to dst, with the blank line that ends it. Data is written as
// one data field for each of its lines. Line breaks and NUL in ID and Name,
// which no stream can carry, are dropped.
func Append(dst []byte, e Event) []byte {
	if e.Name != "" {
		dst = appendField(dst, "event: ", e.Name)
	}
	if e.ID != "" {
		dst = appendField(dst, "id: ", e.ID)
	}
	if e.Retry > 0 {
		dst = append(dst, "retry: "...)
		dst = strconv.AppendInt(dst, e.Retry.Milliseconds(), 10)
		dst = append(dst, '\n')
	}
	if e.Data != nil {
		dst = appendData(dst, e.Data)
	}
	return append(dst, '\n')
}

// AppendComment appends a comment to dst, which readers skip: something to send
// so that nobody on the way takes a silent stream for a dead one.
func AppendComment(dst []byte, text string) []byte {
	return append(appendField(dst, ": ", text), '\n')
}

func appendField(dst []byte, prefix, value string) []byte {
	dst = append(dst, prefix...)
	if strings.ContainsAny(value, "\r\n\x00") {
		value = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(value)
	}
	dst = append(dst, value...)
	return append(dst, '\n')
}

func appendData(dst, data []byte) []byte {
	for {
		dst = append(dst, "data: "...)
		n, size := lineEnd(data)
		if n < 0 {
			dst = append(dst, data...)
			return append(dst, '\n')
		}
		dst = append(dst, data[:n]...)
		dst = append(dst, '\n')
		data = data[n+size:]
	}
}
