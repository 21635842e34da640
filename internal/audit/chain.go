package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"time"
)

// link is the hash of a line, over all that came before it.
type link [sha256.Size]byte

func (l link) String() string { return hex.EncodeToString(l[:]) }

// A line ends with its hash.
const (
	hashBegin = `,"hash":"`
	hashEnd   = "\"}\n"
	sealSize  = len(hashBegin) + 2*sha256.Size + len(hashEnd)
)

// links makes a chain, without new memory for each line.
type links struct {
	hash hash.Hash
	at   link // of the last line
}

func newLinks() links { return links{hash: sha256.New()} }

// seal ends the line that stands at the end of dst from a place on and is an
// object: its closing brace gives way to its hash, brace and line end.
func (l *links) seal(dst []byte, from int) []byte {
	l.hash.Reset()
	l.hash.Write(l.at[:])
	l.hash.Write(dst[from:])
	l.hash.Sum(l.at[:0])
	dst = append(dst[:len(dst)-1], hashBegin...)
	dst = hex.AppendEncode(dst, l.at[:])
	return append(dst, hashEnd...)
}

// after is the hash of a line, given without its hash, after another.
func after(prev link, text []byte) link {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(text)
	var is link
	h.Sum(is[:0])
	return is
}

// unseal returns what the hash of a line is over, and the hash that it says it
// has. line has its line end. text shares the memory of line, which it changes.
func unseal(line []byte) (text []byte, says link, ok bool) {
	cut := len(line) - sealSize
	if cut < 1 || !bytes.HasPrefix(line[cut:], []byte(hashBegin)) || !bytes.HasSuffix(line, []byte(hashEnd)) {
		return nil, says, false
	}
	digits := line[cut+len(hashBegin) : len(line)-len(hashEnd)]
	for _, c := range digits {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return nil, says, false
		}
	}
	if _, err := hex.Decode(says[:], digits); err != nil {
		return nil, says, false
	}
	line[cut] = '}'
	return line[:cut+1], says, true
}

// numbers are what a line says of its place, at its beginning.
type numbers struct{ seq, batch uint64 }

// readNumbers reads the beginning of a record.
func readNumbers(line []byte) (n numbers, rest []byte, ok bool) {
	if n.seq, rest, ok = readNumber(line, `{"seq":`); !ok {
		return n, nil, false
	}
	n.batch, rest, ok = readNumber(rest, `,"batch":`)
	return n, rest, ok
}

func readNumber(line []byte, before string) (n uint64, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(line, []byte(before))
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	if !ok || end == 0 || end > 20 {
		return 0, nil, false
	}
	n, err := strconv.ParseUint(string(rest[:end]), 10, 64)
	return n, rest[end:], err == nil
}

// header is the first line of a segment.
type header struct {
	first uint64
	time  time.Time
	prev  link
}

const headerForm = `{"segment":1,"first":%d,"time":"%s","prev":"%s"}`

func (h header) text() []byte {
	return fmt.Appendf(nil, headerForm, h.first, h.time.UTC().Format(timeForm), h.prev)
}

// readHeader reads the first line of a segment, without its hash.
func readHeader(text []byte) (h header, ok bool) {
	var at, prev string
	first, rest, ok := readNumber(text, `{"segment":1,"first":`)
	if !ok {
		return h, false
	}
	if n, err := fmt.Sscanf(string(rest), `,"time":%q,"prev":%q}`, &at, &prev); n != 2 || err != nil {
		return h, false
	}
	when, err := time.Parse(timeForm, at)
	raw, bad := hex.DecodeString(prev)
	if err != nil || bad != nil || len(raw) != len(h.prev) {
		return h, false
	}
	h = header{first: first, time: when, prev: link(raw)}
	return h, bytes.Equal(h.text(), text)
}
