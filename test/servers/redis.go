package servers

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Redis starts Redis and returns its URL. It is empty, keeps everything in
// memory, and is stopped when the test ends. Starting takes a moment.
func Redis(tb testing.TB) string {
	tb.Helper()
	program := find(tb, "redis-server")
	p := newPlace(tb, "redis")
	p.run(server{
		program: program,
		args: func(port int) []string {
			return []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", p.dir}
		},
		probe: pongs,
		stop:  syscall.SIGKILL,
	})
	return fmt.Sprintf("redis://127.0.0.1:%d/0", p.port)
}

func pongs(port int) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	answer := make([]byte, len("+PONG\r\n"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != "+PONG\r\n" {
		return fmt.Errorf("answers PING with %q", answer)
	}
	return nil
}
