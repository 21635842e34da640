//go:build linux

package faults

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// The frames of a WebSocket (RFC 6455) that the peers use.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// frameHead is the head of a last frame with n bytes, of a server or, masked
// with zeros, of a client.
func frameHead(op byte, n int, masked bool) []byte {
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	head := []byte{0x80 | op}
	switch {
	case n < 126:
		head = append(head, mask|byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, mask|126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, mask|127), uint64(n))
	}
	if masked {
		head = append(head, 0, 0, 0, 0)
	}
	return head
}

func frame(op byte, payload []byte, masked bool) []byte {
	return append(frameHead(op, len(payload), masked), payload...)
}

// readFrame reads a frame of at most 64 MiB.
func readFrame(r *bufio.Reader) (op byte, last bool, payload []byte, err error) {
	head := make([]byte, 2)
	if _, err = io.ReadFull(r, head); err != nil {
		return 0, false, nil, err
	}
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		var short [2]byte
		_, err = io.ReadFull(r, short[:])
		n = uint64(binary.BigEndian.Uint16(short[:]))
	case 127:
		var long [8]byte
		_, err = io.ReadFull(r, long[:])
		n = binary.BigEndian.Uint64(long[:])
	}
	if err != nil || n > 64<<20 {
		return 0, false, nil, fmt.Errorf("frame of %d bytes: %w", n, err)
	}
	var key [4]byte
	masked := head[1]&0x80 != 0
	if masked {
		if _, err = io.ReadFull(r, key[:]); err != nil {
			return 0, false, nil, err
		}
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	if masked {
		for i := range payload {
			payload[i] ^= key[i%4]
		}
	}
	return head[0] & 0x0f, head[0]&0x80 != 0, payload, err
}

// readText returns the next text message; write sends what a socket must answer
// by itself.
func readText(r *bufio.Reader, masked bool, write func([]byte) error) ([]byte, error) {
	var message []byte
	for {
		op, last, payload, err := readFrame(r)
		if err != nil {
			return nil, err
		}
		switch op {
		case opPing:
			if err := write(frame(opPong, payload, masked)); err != nil {
				return nil, err
			}
		case opClose:
			_ = write(frame(opClose, payload, masked)) // the peer may have gone
			return nil, io.EOF
		case opPong:
		default:
			message = append(message, payload...)
			if last {
				return message, nil
			}
		}
	}
}

// acceptSocket takes a request to upgrade over.
func acceptSocket(w http.ResponseWriter, r *http.Request) (net.Conn, *bufio.Reader, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mcp\r\n\r\n", acceptKey(r.Header.Get("Sec-Websocket-Key")))
	return conn, rw.Reader, err
}

// dialSocket opens a socket to the gateway.
func dialSocket(addr, path string) (net.Conn, *bufio.Reader, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mcp\r\n\r\n", path, addr, key)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err == nil && (resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != acceptKey(key)) {
		err = fmt.Errorf("handshake was answered with %s", resp.Status)
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, in, nil
}
