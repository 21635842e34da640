package plan

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// AppendQuoted appends JSON text as a string of JSON. The text must be as a Text or AppendRaw leaves it: valid, in UTF-8
// and without white space between its parts, so that nothing in it but quotes and backslashes needs an escape. It may lie
// in the memory before the end of dst.
func AppendQuoted(dst, text []byte) []byte {
	const room = 24 // what one word becomes at most, and eight bytes that are written over
	dst = append(slices.Grow(dst, len(text)+len(text)/4+2*room), '"')
	i := 0
	for ; i+8 <= len(text); i += 8 {
		if len(dst)+room > cap(dst) {
			dst = slices.Grow(dst, 2*(len(text)-i)+2*room)
		}
		w := binary.LittleEndian.Uint64(text[i:])
		dst = appendWord(dst, w, quotes(w))
	}
	for _, c := range text[i:] {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// quotes marks, by their high bits, the bytes of w that are quotes or backslashes.
func quotes(w uint64) uint64 {
	const ones, lows = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f
	quote, slash := w^'"'*ones, w^'\\'*ones
	return ^(quote&lows + lows | quote | lows) | ^(slash&lows + lows | slash | lows)
}

// appendWord appends eight bytes, those that are marked behind a backslash. There is room for 24 bytes.
func appendWord(dst []byte, w, marked uint64) []byte {
	n, out := len(dst), dst[:cap(dst)]
	done := 0 // bytes of w
	for ; marked != 0; marked &= marked - 1 {
		k := bits.TrailingZeros64(marked) >> 3
		binary.LittleEndian.PutUint64(out[n:], w>>(8*done))
		n += k - done
		out[n], out[n+1] = '\\', byte(w>>(8*k))
		n, done = n+2, k+1
	}
	binary.LittleEndian.PutUint64(out[n:], w>>(8*done))
	return out[:n+8-done]
}
