// Package everything puts the official Go SDK's conformance server behind one URL. That server speaks either the
// revisions with sessions or 2026-07-28, never both, and four of its tools can only ask the client something within a
// session; here requests of both eras find the process that answers them, and those four tools ask in the way of
// 2026-07-28 as well. It knows nothing of the gateway or of how the suite is run.
package everything

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
)

const (
	modernRevision = "2026-07-28"
	maxBody        = 4 << 20
)

// Router answers modern requests by one server and all others by another.
type Router struct {
	legacy    http.Handler
	modern    http.Handler
	asking    http.Handler
	transport *http.Transport
}

var _ http.Handler = (*Router)(nil)

// New returns a router in front of two servers. Without a legacy one it refuses handshakes as a server does that only
// knows 2026-07-28. Close it when it answers no more.
func New(legacy, modern *url.URL) *Router {
	transport := &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}
	r := &Router{legacy: http.HandlerFunc(refuse), modern: forward(modern, transport), asking: newAsking(), transport: transport}
	if legacy != nil {
		r.legacy = forward(legacy, transport)
	}
	return r
}

// Close releases the connections to the servers.
func (r *Router) Close() { r.transport.CloseIdleConnections() }

// forward passes requests on. The Host header stays as the client wrote it, since the server checks it.
func forward(to *url.URL, transport http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.URL.Path = to.Path
			r.Out.Host = r.In.Host
		},
		Transport:     transport,
		FlushInterval: -1,
	}
}

// message is what tells the eras apart.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name string `json:"name"`
		Meta struct {
			Revision string `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
	} `json:"params"`
}

// ServeHTTP reads the whole request before it passes it on: net/http closes a request's body when the first part of the
// answer is written, and a proxy that still reads then cuts the answer short.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	var m message
	_ = json.Unmarshal(body, &m) // the server behind answers what is not JSON
	switch {
	case !modern(req, m):
		r.legacy.ServeHTTP(w, req)
	case m.Method == "tools/call" && isAsking(m.Params.Name):
		r.asking.ServeHTTP(w, req)
	default:
		r.modern.ServeHTTP(w, req)
	}
}

// modern tells the era of a request (2026-07-28, basic/versioning: a server that serves both goes by what the request
// carries).
func modern(req *http.Request, m message) bool {
	switch {
	case req.Method != http.MethodPost || req.Header.Get("Mcp-Session-Id") != "":
		return false
	case req.Header.Get("Mcp-Method") != "" || m.Params.Meta.Revision != "":
		return true
	}
	return req.Header.Get("Mcp-Protocol-Version") >= modernRevision
}

// refuse answers a client of an older revision as a server does that has none of them.
func refuse(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	body, _ := io.ReadAll(req.Body)
	var m message
	_ = json.Unmarshal(body, &m)
	if m.ID == nil {
		m.ID = json.RawMessage("null")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	answer := map[string]any{"jsonrpc": "2.0", "id": m.ID, "error": map[string]any{
		"code": -32022, "message": "unsupported protocol version",
		"data": map[string]any{"supported": []string{modernRevision}, "requested": req.Header.Get("Mcp-Protocol-Version")},
	}}
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone needs no answer
}
