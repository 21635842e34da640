package egress_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

func TestOnlyCodingsAreAcceptedThatWereAskedFor(t *testing.T) {
	text := []byte(strings.Repeat("All work and no play. ", 100))
	var asked string
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Accept-Encoding")
		coding := r.URL.Path[1:]
		w.Header().Set("Content-Encoding", coding)
		switch coding = strings.TrimPrefix(strings.ToLower(coding), "x-"); coding {
		case "gzip", "br", "zstd":
			_, _ = w.Write(packed(t, coding, text))
		default:
			_, _ = w.Write(text)
		}
	})
	for _, c := range []struct {
		limit int64
		want  string
		open  []string
	}{
		{64 << 10, "gzip", []string{"gzip", "x-gzip", "GZIP"}},
		{10<<20 - 1, "gzip", []string{"gzip"}},
		{10 << 20, "gzip, zstd", []string{"gzip", "zstd"}},
		{0, "gzip, zstd", []string{"gzip", "zstd"}},
		{18<<20 - 1, "gzip, zstd", []string{"gzip", "zstd"}},
		{18 << 20, "gzip, br, zstd", []string{"gzip", "br", "zstd"}},
	} {
		client := away(t, egress.ClientOptions{MaxBodyBytes: c.limit}, "a.example")
		get := func(coding string) (string, error) {
			res, err := client.Get("http://a.example" + port(s) + "/" + coding)
			if err != nil {
				return "", err
			}
			defer func() { _ = res.Body.Close() }()
			body, err := io.ReadAll(res.Body)
			return string(body), err
		}
		for _, coding := range c.open {
			if got, err := get(coding); got != string(text) || err != nil {
				t.Errorf("%s with a limit of %d: got %d bytes, %v; want %d", coding, c.limit, len(got), err, len(text))
			}
		}
		if asked != c.want {
			t.Errorf("with a limit of %d: asked for %q, want %q", c.limit, asked, c.want)
		}
		for _, coding := range []string{"br", "zstd", "deflate", "gzip, br", "br, zstd"} {
			if strings.Contains(", "+c.want+",", ", "+coding+",") && coding != "br, zstd" {
				continue
			}
			_, err := get(coding)
			if !errors.Is(err, egress.ErrCoding) || !strings.Contains(err.Error(), "asked for was "+c.want) {
				t.Errorf("%s with a limit of %d: got %v, want ErrCoding and what was asked for", coding, c.limit, err)
			}
		}
	}
}

// A body that is held while it is read takes its limit. What decompresses it, with the largest window that there is, must
// not take more than that again. Memory is looked at after each piece and after a collection, and so does not depend on time.
func TestBombsStayWithinTwiceTheLimit(t *testing.T) {
	const piece = 1 << 20
	for _, c := range []struct {
		coding string
		limit  int // the lowest with which the coding is asked for; for gzip, a low one
	}{{"gzip", piece}, {"zstd", 10 << 20}, {"br", 18 << 20}} {
		bomb := barely(t, c.coding, c.limit+piece)
		s, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", c.coding)
			_, _ = w.Write(bomb)
		})
		client := away(t, egress.ClientOptions{MaxBodyBytes: int64(c.limit)}, "a.example")
		start := live()
		res, err := client.Get("http://a.example" + port(s))
		if err != nil {
			t.Fatal(err)
		}
		var held [][]byte
		var most uint64
		for err == nil {
			next := make([]byte, piece)
			_, err = io.ReadFull(res.Body, next)
			held = append(held, next)
			if now := live(); now > start {
				most = max(most, now-start)
			}
		}
		runtime.KeepAlive(held)
		_ = res.Body.Close()
		if !errors.Is(err, egress.ErrTooLarge) || len(held) <= c.limit/piece {
			t.Errorf("%s: got %v after %d MiB, want ErrTooLarge after %d", c.coding, err, len(held), c.limit/piece)
		}
		t.Logf("%s of %d kB, limit %d MiB: %.1f MiB", c.coding, len(bomb)>>10, c.limit>>20, float64(most)/piece)
		if most -= piece; most > uint64(2*c.limit) { // the last piece did not fit
			t.Errorf("%s: %d kB are in use besides what was there, want at most twice the limit of %d", c.coding, most>>10, c.limit>>10)
		}
	}
}

// live is how much memory is in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// barely compresses so many bytes with the largest window, to about a fifteenth, so that it is not the ratio that ends them.
func barely(t testing.TB, coding string, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "br":
		w = brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 1, LGWin: 24})
	case "zstd":
		z, err := zstd.NewWriter(&out, zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	random := rand.NewChaCha8([32]byte{})
	block := make([]byte, 64<<10)
	for n := 0; n < size; n += len(block) {
		for i := 0; i < len(block); i += 1 << 10 {
			_, _ = random.Read(block[i : i+64])
		}
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
