package upstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
)

// maxLine bounds one message on the pipe, in bytes.
const maxLine = 8 << 20

// ServeStdio answers 2025-06-18 messages, one per line, until in ends, and then waits for the calls under way. Calls run side by
// side, so that with Late set their answers come out of order.
func (s *Server) ServeStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var mu sync.Mutex // guards out
	var calls sync.WaitGroup
	defer calls.Wait()
	for lines.Scan() {
		line := bytes.Clone(lines.Bytes())
		calls.Go(func() {
			reply := s.line(ctx, line)
			mu.Lock()
			defer mu.Unlock()
			_, _ = out.Write(reply) // a client that went away closes in as well
		})
	}
	return lines.Err()
}

// line returns the answer to one message with its line end, or nothing for a notification.
func (s *Server) line(ctx context.Context, line []byte) []byte {
	c := &connection{server: s, delay: rand.New(rand.NewPCG(rand.Uint64(), 2))}
	r, err := readRequest(line)
	body := []byte(`"error":{"code":-32700,"message":"Parse error"}`)
	switch {
	case err != nil:
		s.ledger.refused.Add(1)
	case r.id == nil || r.method == nil:
		return nil
	case string(r.method) == "initialize":
		s.ledger.initialize.Add(1)
		body = []byte(initializeResult)
	default:
		body = c.legacyMethod(ctx, r)
	}
	before, after := frame(s.options.IDLast, r.id)
	return []byte(before + string(body) + after + "\n")
}
