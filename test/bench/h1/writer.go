package h1

import (
	"net/http"
	"strconv"
)

// AppendStatus appends a status line.
func AppendStatus(to []byte, status int) []byte {
	to = append(to, "HTTP/1.1 "...)
	to = strconv.AppendInt(to, int64(status), 10)
	to = append(to, ' ')
	to = append(to, http.StatusText(status)...)
	return append(to, "\r\n"...)
}

// AppendField appends one header line.
func AppendField(to []byte, name, value string) []byte {
	to = append(to, name...)
	to = append(to, ": "...)
	to = append(to, value...)
	return append(to, "\r\n"...)
}

// AppendLength appends the Content-Length line and the empty line that ends a head.
func AppendLength(to []byte, n int) []byte {
	to = append(to, "Content-Length: "...)
	to = strconv.AppendInt(to, int64(n), 10)
	return append(to, "\r\n\r\n"...)
}

// AppendChunk appends data as one chunk; empty data is the chunk that ends a body.
func AppendChunk(to, data []byte) []byte {
	to = strconv.AppendInt(to, int64(len(data)), 16)
	to = append(to, "\r\n"...)
	to = append(to, data...)
	return append(to, "\r\n"...)
}
