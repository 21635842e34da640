package load

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/dragoman-mcp/dragoman/test/bench/rawjson"
)

// Message returns the answer to the last request from the response that Receive read: status 200, JSON or an event stream, and in
// it exactly one answer with that request's id. Its bytes live until the next Receive.
func (c *Client) Message() ([]byte, error) {
	if status := c.m.Status(); status != 200 {
		return nil, fmt.Errorf("%w: status %d: %s", ErrWrong, status, cut(c.m.Body))
	}
	kind := c.m.Get("Content-Type")
	switch {
	case bytes.HasPrefix(kind, []byte("application/json")):
		return c.m.Body, c.checkID(c.m.Body)
	case bytes.HasPrefix(kind, []byte("text/event-stream")):
		return c.fromEvents(c.m.Body)
	}
	return nil, fmt.Errorf("%w: content type %q", ErrWrong, kind)
}

// fromEvents finds the answer among the events of a stream that has ended. Notifications are passed over.
func (c *Client) fromEvents(stream []byte) ([]byte, error) {
	var answer []byte
	for _, event := range bytes.Split(bytes.ReplaceAll(stream, []byte("\r\n"), []byte("\n")), []byte("\n\n")) {
		data := eventData(event)
		if _, ok := rawjson.Get(data, "id"); len(data) == 0 || !ok {
			continue
		}
		if answer != nil {
			return nil, fmt.Errorf("%w: %s and %s", ErrTwice, cut(answer), cut(data))
		}
		answer = data
	}
	if answer == nil {
		return nil, fmt.Errorf("%w: the stream ended without an answer: %s", ErrWrong, cut(stream))
	}
	return answer, c.checkID(answer)
}

func eventData(event []byte) []byte {
	var data []byte
	for _, line := range bytes.Split(event, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, bytes.TrimPrefix(rest, []byte(" "))...)
		}
	}
	return data
}

func (c *Client) checkID(message []byte) error {
	var digits [20]byte
	want := strconv.AppendInt(digits[:0], c.id, 10)
	if id, _ := rawjson.Get(message, "id"); !bytes.Equal(id, want) {
		return fmt.Errorf("%w: id %s, want %s: %s", ErrWrong, id, want, cut(message))
	}
	return nil
}

// checkText wants a result that is no error and whose first and only content is a text that is right.
func (c *Client) checkText(message []byte, right func(raw []byte) bool) error {
	result, ok := rawjson.Get(message, "result")
	if !ok {
		return fmt.Errorf("%w: no result: %s", ErrWrong, cut(message))
	}
	var content, isError, resultType []byte
	if err := rawjson.Each(result, func(name, value []byte) bool {
		switch string(name) {
		case "content":
			content = value
		case "isError":
			isError = value
		case "resultType":
			resultType = value
		}
		return true
	}); err != nil {
		return fmt.Errorf("%w: %w: %s", ErrWrong, err, cut(message))
	}
	if isError != nil && string(isError) != "false" {
		return fmt.Errorf("%w: isError is %s: %s", ErrWrong, isError, cut(message))
	}
	if c.Revision == Modern && string(resultType) != `"complete"` {
		return fmt.Errorf("%w: resultType is %q: %s", ErrWrong, resultType, cut(message))
	}
	blocks, good := 0, false
	_ = rawjson.Elements(content, func(block []byte) bool {
		text, _ := rawjson.Get(block, "text")
		good = right(text)
		blocks++
		return true
	})
	if blocks != 1 || !good {
		return fmt.Errorf("%w: another text than was sent: %s", ErrWrong, cut(message))
	}
	return nil
}

// template is an answer that has been checked in full, cut at its id, so that the next one can be checked by comparing.
type template struct{ before, after []byte }

// learn makes a template of a checked message.
func learn(message []byte) template {
	id, _ := rawjson.Get(message, "id")
	at := cap(message) - cap(id) // both slices end where the buffer ends
	return template{before: bytes.Clone(message[:at]), after: bytes.Clone(message[at+len(id):])}
}

// matches reports whether message is the template with id in it.
func (t template) matches(message []byte, id int64) bool {
	if t.after == nil || len(message) < len(t.before)+len(t.after) {
		return false
	}
	var digits [20]byte
	return bytes.Equal(message[len(t.before):len(message)-len(t.after)], strconv.AppendInt(digits[:0], id, 10)) &&
		bytes.HasPrefix(message, t.before) && bytes.HasSuffix(message, t.after)
}

// cut shortens what a peer sent, for an error message.
func cut(text []byte) []byte { return text[:min(len(text), 200)] }
