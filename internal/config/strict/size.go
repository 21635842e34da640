package strict

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. In the file it is a number, or a number with a unit: K, M, G, T and KiB, MiB, GiB, TiB
// count in steps of 1024; KB, MB, GB, TB in steps of 1000.
type Size int64

var sizeUnits = [...]struct {
	suffix string
	bytes  float64
}{
	// Longer suffixes first, since the first that fits is taken.
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40},
	{"b", 1},
}

// UnmarshalText reads 4194304, 4MiB, 1.5G or 80 kB. Its error goes on after "is" and does not repeat the text.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := strings.ToLower(strings.TrimSpace(string(text))), 1.0
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && factor == 1 && n >= 0 {
		*s = Size(n)
		return nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || factor == 1 || math.IsNaN(f) || f < 0 || strings.ContainsAny(number, "xpe_in") {
		return errors.New("not a size like 512KiB, 4MiB or 1G")
	}
	if f*factor >= math.MaxInt64 {
		return errors.New("more bytes than can be counted")
	}
	*s = Size(f * factor)
	return nil
}

// String gives the shortest exact form: 4MiB, 1536, 0.
func (s Size) String() string {
	units := []string{"TiB", "GiB", "MiB", "KiB"}
	for i, u := range units {
		if n := Size(1) << (10 * (len(units) - i)); s >= n && s%n == 0 {
			return strconv.FormatInt(int64(s/n), 10) + u
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText gives the form of String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
