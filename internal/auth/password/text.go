package password

import (
	"strconv"
	"time"
)

// maxQuoted bounds what an error repeats of what was sent.
const maxQuoted = 64

func quote(s string) string {
	if len(s) > maxQuoted {
		s = s[:maxQuoted]
	}
	return strconv.QuoteToASCII(s)
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
