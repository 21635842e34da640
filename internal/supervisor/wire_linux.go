package supervisor

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// The gateway and the guard speak over a socket pair: 4 bytes of length, then a JSON object. Three descriptors (standard
// input, output and error of the child) travel with the length of a start, and a socket if its sandbox has a proxy.

// maxFrame bounds a message: the kernel takes at most 6 MiB of arguments and environment.
const maxFrame = 8 << 20

// frame is one message, either way.
type frame struct {
	Op string `json:"op"`
	ID uint64 `json:"id,omitempty"` // of the task, chosen by the gateway

	// start
	Path string `json:"path,omitempty"`
	Dir  []byte `json:"dir,omitempty"`  // bytes: names of files need not be UTF-8
	Argv []byte `json:"argv,omitempty"` // separated by NUL
	Env  []byte `json:"env,omitempty"`  // separated by NUL

	Plan   *sandbox.Plan   `json:"plan,omitempty"` // nil starts it as it is
	Bounds *sandbox.Bounds `json:"bounds,omitempty"`

	// answers
	PID    int    `json:"pid,omitempty"`
	Mark   uint64 `json:"mark,omitempty"`
	Errno  int    `json:"errno,omitempty"`  // failed
	Code   int    `json:"code,omitempty"`   // exited
	Signal int    `json:"signal,omitempty"` // exited
	Text   string `json:"text,omitempty"`   // unfit, and failed without Errno
}

// What the gateway says, besides the orders.
const opStart = "start"

// What the guard says.
const (
	opReady   = "ready"   // once, at first: it can do its work
	opUnfit   = "unfit"   // once, at first, instead: it cannot, for Text
	opStarted = "started" // PID runs
	opFailed  = "failed"  // Errno
	opExited  = "exited"  // the command itself
	opGone    = "gone"    // and all that it started; the last word about this id
)

// writeFrame sends f and, with its first bytes, files. It is not safe for concurrent use.
func writeFrame(conn *net.UnixConn, f frame, files []int) error {
	body, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write to guard: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("write to guard: %d bytes of arguments and environment are too much", len(body))
	}
	var oob []byte
	if len(files) > 0 {
		oob = unix.UnixRights(files...)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if _, _, err := conn.WriteMsgUnix(head, oob, nil); err != nil {
		return fmt.Errorf("write to guard: %w", err)
	}
	if _, err := conn.Write(body); err != nil {
		return fmt.Errorf("write to guard: %w", err)
	}
	return nil
}

// readFrame receives the next message and the descriptors that came with it, which the caller closes. io.EOF means that
// the other side is gone.
func readFrame(conn *net.UnixConn) (frame, []int, error) {
	head := make([]byte, 4)
	files, err := readHead(conn, head)
	if err != nil {
		return frame{}, files, err
	}
	size := binary.BigEndian.Uint32(head)
	if size > maxFrame {
		return frame{}, files, fmt.Errorf("read frame: %d bytes are more than %d", size, maxFrame)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(conn, body); err != nil {
		return frame{}, files, fmt.Errorf("read frame: %w", err)
	}
	var f frame
	if err := json.Unmarshal(body, &f); err != nil {
		return frame{}, files, fmt.Errorf("read frame: %w", err)
	}
	return f, files, nil
}

// readHead fills head. The kernel never merges bytes with descriptors into a read of the bytes before them, and the body
// is read by its exact length, so descriptors can only arrive here.
func readHead(conn *net.UnixConn, head []byte) (files []int, err error) {
	oob := make([]byte, unix.CmsgSpace(4*4))
	for got := 0; got < len(head); {
		n, oobn, _, _, err := conn.ReadMsgUnix(head[got:], oob)
		if oobn > 0 {
			files = append(files, rights(oob[:oobn])...)
		}
		if err != nil {
			return files, err
		}
		if n == 0 {
			return files, io.EOF
		}
		got += n
	}
	return files, nil
}

// rights takes the descriptors out of control messages.
func rights(oob []byte) (files []int) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			files = append(files, fds...)
		}
	}
	return files
}
