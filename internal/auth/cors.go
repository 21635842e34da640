package auth

import (
	"net/http"
	"strings"
)

// What pages may send and read beyond the little that CORS lets them by itself.
// Mcp-* are the headers of every revision; a header that mirrors a parameter
// (2026-07-28, Mcp-Param-*) has any name and is allowed as it is asked for.
const (
	corsMethods = "GET, POST, DELETE, OPTIONS"
	corsHeaders = "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Traceparent, Tracestate"
	corsExposed = "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After, Location"
	corsMaxAge  = "600" // seconds
)

// maxParamHeaders is how many Mcp-Param-* headers one preflight may ask for.
const maxParamHeaders = 64

// CORS answers the questions that browsers ask before a page of an allowed
// origin calls, and tells them that it may read the answer. It does not let
// anybody in. Credentials that browsers send by themselves are never allowed.
func (g *Guard) CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == "" {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Origin")
		preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
		if why := g.misled(r); why != "" {
			refuse(w, http.StatusForbidden, why)
			return
		}
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Expose-Headers", corsExposed)
		if !preflight {
			next.ServeHTTP(w, r)
			return
		}
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", corsMethods)
		h.Set("Access-Control-Allow-Headers", corsHeaders+paramHeaders(r))
		h.Set("Access-Control-Max-Age", corsMaxAge)
		w.WriteHeader(http.StatusNoContent)
	})
}

// paramHeaders gives those asked-for headers that mirror parameters.
func paramHeaders(r *http.Request) string {
	var b strings.Builder
	n := 0
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if rest, ok := strings.CutPrefix(name, "mcp-param-"); ok && n < maxParamHeaders && isToken(rest) {
			b.WriteString(", " + name)
			n++
		}
	}
	return b.String()
}

func isToken(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}
