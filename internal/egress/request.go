package egress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxInline is the largest request body that is read before a connection is
// taken, and sent with the head in one write. Larger ones are sent while the
// answer is awaited, by a goroutine that lives as long as the sending.
const maxInline = 64 << 10

// outgoing is a request as it goes over the wire.
type outgoing struct {
	text    []byte        // the head, and the body if it is not larger than maxInline
	rest    io.ReadCloser // a larger body; nil when text is all
	size    int64         // bytes of rest; -1 when they are not known: it is sent in chunks
	last    bool          // the connection is not used after this exchange
	upgrade bool          // an answer 101 is welcome
}

// closeRest closes a body that is not going to be sent, or not to its end. A
// sender that waits for more of it wakes up. It may be called twice.
func (out outgoing) closeRest() {
	if out.rest != nil {
		_ = out.rest.Close()
	}
}

// prepare writes the head and reads a body that is small. It does not close the body.
func (p *Pool) prepare(dst []byte, h *host, req *http.Request) (outgoing, error) {
	out := outgoing{size: req.ContentLength, last: req.Close}
	dst, err := appendHead(dst, h, req, p.network.o.UserAgent)
	if err != nil {
		return outgoing{text: dst}, err
	}
	dst = out.appendConnection(dst, req.Header["Connection"])
	body := req.Body
	if body == nil || body == http.NoBody {
		out.text, out.size = appendEmptyBody(dst, req.Method), 0
		return out, nil
	}
	if out.size == 0 { // not known, as net/http has it
		out.size = -1
	}
	if out.size < 0 {
		first, err := io.ReadAll(io.LimitReader(body, maxInline+1))
		if err != nil {
			return outgoing{text: dst}, fmt.Errorf("read request body: %w", err)
		}
		if len(first) > maxInline {
			out.text = append(dst, "Transfer-Encoding: chunked\r\n\r\n"...)
			out.rest = restOf{io.MultiReader(bytes.NewReader(first), body), body}
			return out, nil
		}
		body, out.size = io.NopCloser(bytes.NewReader(first)), int64(len(first))
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, out.size, 10)
	dst = append(dst, "\r\n\r\n"...)
	if out.size > maxInline {
		out.text, out.rest = dst, body
		return out, nil
	}
	out.text, err = appendBody(dst, body, int(out.size))
	return out, err
}

// appendConnection writes what a Connection header may ask for here: the end
// of the connection, or another protocol.
func (out *outgoing) appendConnection(dst []byte, values []string) []byte {
	out.last = out.last || httpguts.HeaderValuesContainsToken(values, "close")
	out.upgrade = httpguts.HeaderValuesContainsToken(values, "upgrade")
	switch {
	case out.upgrade:
		return append(dst, "Connection: Upgrade\r\n"...)
	case out.last:
		return append(dst, "Connection: close\r\n"...)
	}
	return dst
}

// restOf is a body of which some has been read ahead.
type restOf struct {
	io.Reader
	io.Closer
}

func appendEmptyBody(dst []byte, method string) []byte {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		dst = append(dst, "Content-Length: 0\r\n"...) // RFC 9110 §8.6
	}
	return append(dst, "\r\n"...)
}

// appendBody appends a body of exactly size bytes.
func appendBody(dst []byte, body io.Reader, size int) ([]byte, error) {
	from := len(dst)
	dst = append(dst, make([]byte, size+1)...) // a byte more, to see that there is none
	n, err := io.ReadFull(body, dst[from:])
	if n != size || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return dst[:from], bodyFault(n, size, err)
	}
	return dst[:from+size], nil
}

func bodyFault(n, size int, err error) error {
	switch {
	case n > size:
		return fmt.Errorf("request body is longer than its ContentLength of %d", size)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("request body has %d bytes, its ContentLength is %d", n, size)
	default:
		return fmt.Errorf("read request body: %w", err)
	}
}

func appendHead(dst []byte, h *host, req *http.Request, userAgent string) ([]byte, error) {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	target := req.URL.RequestURI()
	if !httpguts.ValidHeaderFieldName(method) {
		return dst, fmt.Errorf("method is not a token: %q", method)
	}
	if !validTarget(target) {
		return dst, fmt.Errorf("URL has a space or a control character; percent-encode it: %q", target)
	}
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst, err := appendHost(dst, h, req.Host, req.URL.Host)
	if err != nil {
		return dst, err
	}
	if req.Header["User-Agent"] == nil {
		dst = append(dst, "\r\nUser-Agent: "...)
		dst = append(dst, userAgent...)
	}
	dst = append(dst, "\r\n"...)
	if len(req.Trailer) > 0 {
		return dst, errors.New("request has trailers, which are not supported")
	}
	return appendHeader(dst, req.Header)
}

func appendHost(dst []byte, h *host, name, dialled string) ([]byte, error) {
	if name == "" || name == dialled {
		return append(dst, h.header...), nil
	}
	ascii, err := httpguts.PunycodeHostPort(name)
	if err != nil || !httpguts.ValidHostHeader(ascii) {
		return dst, fmt.Errorf("request has no valid Host: %q", name)
	}
	return append(dst, withoutZone(ascii)...), nil
}

// appendHeader writes what the caller set, except for what frames the message:
// that is ours alone. A value with a line break in it would be a second header.
func appendHeader(dst []byte, header http.Header) ([]byte, error) {
	for name, values := range header {
		if framing(name) {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return dst, fmt.Errorf("header name is not a token: %q", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return dst, fmt.Errorf("value of header %s has a control character", name)
			}
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = append(dst, strings.Trim(v, " \t")...)
			dst = append(dst, "\r\n"...)
		}
	}
	return dst, nil
}

// framing reports whether a header is written by this package, whatever the
// caller's spelling.
func framing(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Connection"):
		return strings.EqualFold(name, "Connection")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

func validTarget(target string) bool {
	for i := range len(target) {
		if target[i] <= ' ' || target[i] == 0x7f {
			return false
		}
	}
	return target != ""
}
