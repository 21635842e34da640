package matrix

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// socket is one end of a WebSocket (RFC 6455), written out. It sends messages
// in pieces with pings between them, which is allowed and rare.
type socket struct {
	conn   net.Conn
	in     *bufio.Reader
	client bool       // the client's frames are masked
	mu     sync.Mutex // held while a message is written
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// acceptSocket answers the handshake of a client that must name the subprotocol.
func acceptSocket(w http.ResponseWriter, r *http.Request) (*socket, error) {
	if r.Header.Get("Sec-Websocket-Protocol") != "mcp" || r.Header.Get("Sec-Websocket-Version") != "13" {
		http.Error(w, "subprotocol mcp is needed", http.StatusBadRequest)
		return nil, fmt.Errorf("handshake names protocol %q", r.Header.Get("Sec-Websocket-Protocol"))
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mcp\r\n\r\n", acceptKey(r.Header.Get("Sec-Websocket-Key")))
	return &socket{conn: conn, in: rw.Reader}, rw.Flush()
}

// dialSocket opens a socket to path at host.
func dialSocket(host, path string) (*socket, error) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // never fails
	nonce := base64.StdEncoding.EncodeToString(raw)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mcp\r\n\r\n", path, host, nonce)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != acceptKey(nonce) || resp.Header.Get("Sec-Websocket-Protocol") != "mcp" {
		_ = conn.Close()
		return nil, fmt.Errorf("handshake was answered with %s %v", resp.Status, resp.Header)
	}
	return &socket{conn: conn, in: in, client: true}, nil
}

const (
	opMore  = 0x0
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// send writes a message in three pieces, with a ping before the last.
func (s *socket) send(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cut := len(text) / 3
	var frames []byte
	frames = s.frame(frames, opText, false, text[:cut])
	frames = s.frame(frames, opMore, false, text[cut:2*cut])
	frames = s.frame(frames, opPing, true, []byte("still there?"))
	frames = s.frame(frames, opMore, true, text[2*cut:])
	_, err := s.conn.Write(frames)
	return err
}

func (s *socket) frame(dst []byte, op byte, last bool, payload []byte) []byte {
	if last {
		op |= 0x80
	}
	dst = append(dst, op)
	mask := byte(0)
	if s.client {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, mask|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, mask|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, mask|127), uint64(n))
	}
	if !s.client {
		return append(dst, payload...)
	}
	k := make([]byte, 4)
	_, _ = rand.Read(k) // never fails
	dst = append(dst, k...)
	for i, c := range payload {
		dst = append(dst, c^k[i%4])
	}
	return dst
}

// receive returns the next text message, and answers pings meanwhile.
func (s *socket) receive() ([]byte, error) {
	var text []byte
	for {
		op, last, payload, err := s.readFrame()
		if err != nil {
			return nil, err
		}
		switch op {
		case opText, opMore:
			text = append(text, payload...)
			if last {
				return text, nil
			}
		case opPing, opClose:
			answer := byte(opPong)
			if op == opClose {
				answer = opClose
			}
			s.mu.Lock()
			_, err = s.conn.Write(s.frame(nil, answer, true, payload))
			s.mu.Unlock()
			if op == opClose || err != nil {
				return nil, io.EOF
			}
		case opPong:
		default:
			return nil, fmt.Errorf("frame of kind %d", op)
		}
	}
}

func (s *socket) readFrame() (op byte, last bool, payload []byte, err error) {
	head := make([]byte, 2)
	if _, err = io.ReadFull(s.in, head); err != nil {
		return 0, false, nil, err
	}
	masked, n := head[1]&0x80 != 0, uint64(head[1]&0x7f)
	if masked == s.client {
		return 0, false, nil, fmt.Errorf("frame is masked: %v", masked)
	}
	switch n {
	case 126:
		var short [2]byte
		_, err = io.ReadFull(s.in, short[:])
		n = uint64(binary.BigEndian.Uint16(short[:]))
	case 127:
		var long [8]byte
		_, err = io.ReadFull(s.in, long[:])
		n = binary.BigEndian.Uint64(long[:])
	}
	if err != nil || n > 64<<20 {
		return 0, false, nil, fmt.Errorf("length %d: %w", n, err)
	}
	k := make([]byte, 4)
	if masked {
		if _, err = io.ReadFull(s.in, k); err != nil {
			return 0, false, nil, err
		}
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(s.in, payload)
	if masked {
		for i := range payload {
			payload[i] ^= k[i%4]
		}
	}
	return head[0] & 0x0f, head[0]&0x80 != 0, payload, err
}

// close says goodbye and closes the connection.
func (s *socket) close() {
	s.mu.Lock()
	_, _ = s.conn.Write(s.frame(nil, opClose, true, []byte{3, 232})) // 1000; the peer may have gone
	s.mu.Unlock()
	_ = s.conn.Close()
}
