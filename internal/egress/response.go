package egress

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// maxHeaders bounds the header lines of an answer; its bytes are bounded by
// Options.MaxHeadBytes.
const maxHeaders = 256

// framingOf tells how an answer's body ends and what becomes of the connection.
type framingOf struct {
	length    int64 // of the body; -1 when the head does not tell
	chunked   bool
	keepAlive bool
	keepFor   time.Duration // how long the peer keeps the connection; 0 when it does not tell
}

func (f framingOf) kind() bodyKind {
	switch {
	case f.chunked:
		return chunked
	case f.length >= 0:
		return sized
	default:
		return toTheEnd
	}
}

// headEnd returns where the head at the start of buf ends, 0 when more is to
// come. The first seen bytes have been looked at before, so that a head that
// drips in is not searched over and over. Lines must end with CR LF; RFC 9112
// §2.2 lets us take a bare LF, but then two readers may see two different messages.
func headEnd(buf []byte, seen int) (int, error) {
	from := max(seen-3, 0)
	if at := bytes.Index(buf[from:], []byte("\r\n\r\n")); at >= 0 {
		return from + at + 4, nil
	}
	for i := seen; i < len(buf); i++ {
		at := bytes.IndexByte(buf[i:], '\n')
		if at < 0 {
			return 0, nil
		}
		if i += at; i == 0 || buf[i-1] != '\r' {
			return 0, errBareLF
		}
	}
	return 0, nil
}

var errBareLF = errors.New("line does not end with CR LF")

// parseHead reads a head, the empty line included, into r. It refuses whatever
// could be understood in two ways: folded lines, spaces around names, control
// characters, a length that is not exactly one number, a length together with
// a transfer coding (RFC 9112 §5 and §6.3; threat T09).
func parseHead(text string, r *http.Response) (framingOf, error) {
	line, rest := cutLine(text)
	if err := parseStatus(line, r); err != nil {
		return framingOf{}, err
	}
	lines := strings.Count(rest, "\r\n") - 1
	if lines > maxHeaders {
		return framingOf{}, fmt.Errorf("%d header lines; the bound is %d", lines, maxHeaders)
	}
	f := framingOf{length: -1, keepAlive: r.ProtoMinor == 1}
	r.Header = make(http.Header, lines)
	values := make([]string, 0, lines) // one allocation for all
	for {
		line, rest = cutLine(rest)
		if line == "" {
			break
		}
		name, value, err := parseLine(line)
		if err != nil {
			return framingOf{}, err
		}
		if was := r.Header[name]; was != nil {
			r.Header[name] = append(was, value)
		} else {
			values = append(values, value)
			at := len(values) - 1
			r.Header[name] = values[at : at+1 : at+1]
		}
	}
	return f, f.read(r)
}

// cutLine returns the first line and what follows. Text ends with CR LF.
func cutLine(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\r\n")
	return line, rest
}

// parseStatus reads "HTTP/1.1 200 OK". The reason may be missing (RFC 9112 §4).
func parseStatus(line string, r *http.Response) error {
	const prefix = "HTTP/1."
	if len(line) < len(prefix)+len("1 200") || line[:len(prefix)] != prefix || line[8] != ' ' {
		return fmt.Errorf("not a status line of HTTP/1: %.40q", line)
	}
	minor, status := line[7], line[9:]
	reason, bad := "", len(status) > 3 && status[3] != ' '
	if len(status) > 4 {
		reason = status[4:]
	}
	code, err := strconv.Atoi(status[:3])
	if err != nil || bad || status[0] < '1' || status[0] > '9' || minor != '0' && minor != '1' {
		return fmt.Errorf("not a status line of HTTP/1: %.40q", line)
	}
	if !httpguts.ValidHeaderFieldValue(reason) {
		return errors.New("reason phrase has a control character")
	}
	r.Proto, r.ProtoMajor, r.ProtoMinor = line[:8], 1, int(minor-'0')
	r.Status, r.StatusCode = status, code
	return nil
}

func parseLine(line string) (name, value string, err error) {
	name, value, found := strings.Cut(line, ":")
	if !found || !httpguts.ValidHeaderFieldName(name) {
		return "", "", fmt.Errorf("not a header line: %.40q", line)
	}
	value = strings.Trim(value, " \t")
	if !httpguts.ValidHeaderFieldValue(value) {
		return "", "", fmt.Errorf("value of header %.40q has a control character", name)
	}
	return textproto.CanonicalMIMEHeaderKey(name), value, nil
}

// read takes from the header what frames the message.
func (f *framingOf) read(r *http.Response) error {
	if v := r.Header["Connection"]; v != nil && httpguts.HeaderValuesContainsToken(v, "close") {
		f.keepAlive = false
	}
	if v := r.Header["Keep-Alive"]; len(v) == 1 && f.keepAlive {
		f.keepFor = keepFor(v[0])
	}
	lengths, codings := r.Header["Content-Length"], r.Header["Transfer-Encoding"]
	switch {
	case lengths != nil && codings != nil:
		return errors.New("answer has both Content-Length and Transfer-Encoding")
	case len(lengths) > 1 || len(codings) > 1:
		return errors.New("answer has Content-Length or Transfer-Encoding twice")
	case lengths != nil:
		n, err := parseLength(lengths[0])
		f.length = n
		return err
	case codings != nil:
		if !strings.EqualFold(codings[0], "chunked") || r.ProtoMinor == 0 {
			return fmt.Errorf("transfer coding is not supported: %.40q with %s", codings[0], r.Proto)
		}
		f.chunked = true
		delete(r.Header, "Transfer-Encoding")
	}
	return nil
}

// parseLength reads 1*DIGIT (RFC 9110 §8.6), which strconv takes too generously.
func parseLength(text string) (int64, error) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, fmt.Errorf("Content-Length is not a number: %.40q", text)
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("Content-Length is not a number: %.40q", text)
	}
	return n, nil
}

// keepFor reads "timeout=5" of a Keep-Alive header and takes half of it: at the end
// the peer closes while we write, and one that is busy counts from earlier than we do.
func keepFor(value string) time.Duration {
	for part := range strings.SplitSeq(value, ",") {
		name, n, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !strings.EqualFold(name, "timeout") {
			continue
		}
		seconds, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return 0
		}
		return time.Duration(seconds) * time.Second / 2
	}
	return 0
}

// bodiless reports whether an answer has no body whatever its head says (RFC
// 9112 §6.3).
func bodiless(method string, code int) bool {
	return method == http.MethodHead || code < 200 || code == http.StatusNoContent || code == http.StatusNotModified
}
