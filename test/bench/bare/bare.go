// Package bare is the baseline of the benchmark: net/http/httputil's reverse proxy, tuned as well as it can be without
// replacing it, in front of one upstream. It knows nothing of MCP.
package bare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// maxBody bounds a request body, in bytes; it is read whole before the upstream is called.
const maxBody = 8 << 20

// Serve proxies every request that arrives on l to upstream until ctx ends.
//
// The body is read first because a reverse proxy that streams it to a fast upstream loses answers: net/http's server closes the
// inbound body at the first write of the response while the transport still waits for its end, and the upstream
// connection is closed in mid-answer.
func Serve(ctx context.Context, l net.Listener, upstream *url.URL) error {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Host = ""
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 1 << 14, // the default of 2 would dial for nearly every call
			DisableCompression:  true,
		},
		BufferPool: &buffers{},
		ErrorLog:   log.New(io.Discard, "", 0),
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { forward(proxy, w, r) }),
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 10 * time.Second,
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func forward(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		body, err := readBody(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	proxy.ServeHTTP(w, r)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errors.New("read body: larger than the bound")
	}
	if r.ContentLength > 0 {
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(r.Body, maxBody))
}

// buffers lends the proxy its copy buffers of 32 KiB.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }
