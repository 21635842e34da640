package audit

import (
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	// maxWords bounds how many texts are remembered; then all are forgotten. maxWord bounds each, in bytes: callers choose URIs.
	maxWords = 1024
	maxWord  = 256
)

// words remembers what is read from texts that come again and again, such as what
// clients say of themselves. What is a secret in them may change, and is not remembered.
type words struct {
	mu sync.RWMutex // guards m
	m  map[string]string
}

// of returns what make makes of a text, which depends on the text alone.
func (w *words) of(text []byte, make func(text string) string) string {
	if len(text) > maxWord {
		return make(string(text))
	}
	w.mu.RLock()
	as, ok := w.m[string(text)]
	w.mu.RUnlock()
	if ok {
		return as
	}
	own := string(text)
	as = make(own)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil || len(w.m) >= maxWords {
		w.m = map[string]string{}
	}
	w.m[own] = as
	return as
}

// nameOfClient reads what a client says of itself.
func nameOfClient(info string) string {
	read, ok := jsonrpc.Split([]byte(info))
	if !ok {
		return ""
	}
	name, _ := read.String("name")
	version, _ := read.String("version")
	return strings.TrimSuffix(name+"/"+version, "/")
}

// appendTime writes a moment in timeForm.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, timeForm)
	}
	dst = append(digits(dst, year, 4), '-')
	dst = append(digits(dst, int(month), 2), '-')
	dst = append(digits(dst, day, 2), 'T')
	dst = append(digits(dst, hour, 2), ':')
	dst = append(digits(dst, minute, 2), ':')
	dst = append(digits(dst, second, 2), '.')
	return append(digits(dst, t.Nanosecond()/1000, 6), 'Z')
}

// digits writes the last n digits of a number.
func digits(dst []byte, number, n int) []byte {
	var text [6]byte
	for i := n - 1; i >= 0; i-- {
		text[i] = byte('0' + number%10)
		number /= 10
	}
	return append(dst, text[:n]...)
}
