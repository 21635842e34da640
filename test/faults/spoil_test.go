//go:build linux

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// The faults that a server's answers can have.
const (
	garbage = "garbage"
	late    = "late"
	twice   = "twice"
	cut     = "cut"
	refused = "500"
	huge    = "huge"
)

// hugeBytes is how long a message of the fault huge is.
const hugeBytes = 1 << 30

// variants are a message and what has been made of it.
var variants = []func(message obj) []byte{
	func(obj) []byte { return []byte("<html><body>502 Bad Gateway</body></html>") },
	func(m obj) []byte { // a name twice: who reads the first and who reads the last differ
		text := encode(m)
		return append(text[:len(text)-1], `,"result":{"content":[{"type":"text","text":"another"}]}}`...)
	},
	func(m obj) []byte { return encode(withID(m, wrongID(m["id"]))) },
	func(m obj) []byte { return append([]byte("\ufeff"), encode(m)...) },
	func(m obj) []byte { text := encode(m); return text[:len(text)/2] },
	func(m obj) []byte { return encode(list{1, "two", nil}) },
	func(m obj) []byte { return bytes.ReplaceAll(encode(m), []byte("sec-"), []byte("sec\xff\xfe")) },
	func(m obj) []byte { return encode(withID(m, fmt.Sprint(m["id"]))) }, // a text, where the id was a number
	func(m obj) []byte { return []byte(`{"jsonrpc":"2.0","id":` + string(encode(m["id"])) + `}`) },
	func(m obj) []byte { return bytes.Replace(encode(m), []byte(`"2.0"`), []byte(`"1.0"`), 1) },
}

func wrongID(id any) any {
	n, _ := id.(json.Number)
	i, _ := n.Int64()
	return i + 1_000_000
}

// variant is the next wrong way to write message. Line breaks would change how
// it is framed.
func (p *peer) variant(message obj) []byte {
	text := variants[int(p.turn.Add(1))%len(variants)](message)
	return bytes.ReplaceAll(text, []byte("\n"), nil)
}

// reply sends the response to a request over a line, as wrong as the peer's
// fault demands.
func (p *peer) reply(l *line, c *call, message obj) {
	f := p.breaks(c.method)
	kind := ""
	if f != nil {
		kind = f.kind
	}
	switch kind {
	case garbage:
		_ = l.raw(l.frame(p.variant(message)))
		return
	case late:
		if !pause(p.house.ctx, p.house.late) {
			return
		}
	case twice:
		_ = l.send(message)
	case cut:
		wire := l.frame(encode(message))
		_ = l.raw(wire[:len(wire)/2])
		l.cut()
		return
	case huge:
		if f.once.CompareAndSwap(false, true) {
			l.mu.Lock()
			_ = p.flood(l)
			l.mu.Unlock()
			return
		}
	}
	_ = l.send(message) // who has gone does not want it
}

// flood writes one endless message over a line. l.mu is held.
func (p *peer) flood(l *line) error {
	const head = `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"`
	var begin []byte
	switch p.how {
	case socket:
		begin = append(frameHead(opText, len(head)+hugeBytes, false), head...)
	case sse:
		begin = []byte(fmt.Sprintf("%x\r\nevent: message\ndata: %s", len("event: message\ndata: ")+len(head)+hugeBytes, head))
	default:
		begin = []byte(head)
	}
	if err := l.write(begin); err != nil {
		return err
	}
	return endless(l.write)
}

// endless writes hugeBytes letters, as far as they are taken.
func endless(write func([]byte) error) error {
	piece := []byte(strings.Repeat("x", 256<<10))
	for range hugeBytes / len(piece) {
		if err := write(piece); err != nil {
			return err
		}
	}
	return nil
}

// writer makes a function of a writer.
func writer(w io.Writer) func([]byte) error {
	return func(b []byte) error {
		_, err := w.Write(b)
		return err
	}
}
