package streamhttp

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// The sentinel of values that a header cannot carry as they are (2026-07-28,
// basic/transports/streamable-http, "Value Encoding").
const (
	sentinelPrefix = "=?base64?"
	sentinelSuffix = "?="
)

// encodeValue returns v as it stands in a mirrored header.
func encodeValue(v string) string {
	if safeValue(v) && !isSentinel(v) {
		return v
	}
	return sentinelPrefix + base64.StdEncoding.EncodeToString([]byte(v)) + sentinelSuffix
}

// decodeValue returns what a mirrored header says; false when it holds
// characters that no header may carry, or Base64 that is none.
func decodeValue(v string) (string, bool) {
	if !isSentinel(v) {
		return v, safeValue(v)
	}
	text := v[len(sentinelPrefix) : len(v)-len(sentinelSuffix)]
	if strings.ContainsAny(text, "\r\n") { // which the decoder would skip
		return "", false
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(text)
	return string(decoded), err == nil
}

func isSentinel(v string) bool {
	return len(v) >= len(sentinelPrefix)+len(sentinelSuffix) &&
		strings.HasPrefix(v, sentinelPrefix) && strings.HasSuffix(v, sentinelSuffix)
}

// safeValue reports whether v has only visible ASCII, space and tab, and
// neither begins nor ends with white space.
func safeValue(v string) bool {
	for i := 0; i < len(v); i++ {
		if c := v[i]; (c < ' ' && c != '\t') || c > '~' {
			return false
		}
	}
	return v == "" || !isBlank(v[0]) && !isBlank(v[len(v)-1])
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// single returns the value of a header that must not come twice; found is false
// when it did not come, and ok when it came more than once.
func single(h http.Header, name string) (value string, found, ok bool) {
	switch values := h[name]; len(values) {
	case 0:
		return "", false, true
	case 1:
		return values[0], true, true
	default:
		return "", true, false
	}
}

func mismatch(format string, args ...any) *mcp.Error {
	return mcp.Errorf(mcp.CodeHeaderMismatch, "header mismatch: "+format, args...)
}

// checkVersion compares the version header with the revision that the body
// declares. A body that declares none is not its concern (2026-07-28,
// basic/transports/streamable-http, "Protocol Version Header").
func checkVersion(h http.Header, params jsonrpc.Object) *mcp.Error {
	declared := jsonrpc.Lookup(params.Get("_meta"), mcp.MetaVersion)
	if sent := h[headerVersion]; len(sent) == 1 && jsonrpc.IsString(declared, sent[0]) {
		return nil
	}
	body, ok := jsonrpc.Unquote(declared)
	if !ok {
		return nil
	}
	return checkMirror(h, headerVersion, body)
}

// checkMirrors compares Mcp-Method and Mcp-Name with the body ("Server
// Validation" there). A name header for a method that need not mirror it is
// compared too, where the method has a name.
func checkMirrors(h http.Header, req *mcp.Request) *mcp.Error {
	if err := checkMirror(h, headerMethod, req.Method); err != nil {
		return err
	}
	key := mcp.NameKey(req.Method)
	if key == "" {
		return nil
	}
	sent, found, ok := single(h, headerName)
	switch {
	case !ok:
		return mismatch("%s came more than once", headerName)
	case !found && mcp.MirrorsName(req.Method):
		return mismatch("%s is missing, send params.%s in it", headerName, key)
	case !found:
		return nil
	}
	name, ok := decodeValue(sent)
	if !ok {
		return mismatch("%s holds characters that a header may not carry, or Base64 that is none", headerName)
	}
	if !jsonrpc.IsString(req.Params.Get(key), name) {
		return mismatch("%s says %q, the body's params.%s does not", headerName, name, key)
	}
	return nil
}

func checkMirror(h http.Header, name, body string) *mcp.Error {
	sent, found, ok := single(h, name)
	switch {
	case !ok:
		return mismatch("%s came more than once", name)
	case !found:
		return mismatch("%s is missing, send %q", name, body)
	case sent != body:
		return mismatch("%s says %q, the body says %q", name, sent, body)
	}
	return nil
}

// paramHeaders returns the Mcp-Param-* headers by the lower-case rest of their
// names, decoded; none, which is empty, when none came.
func paramHeaders(h http.Header, none map[string]string) (map[string]string, *mcp.Error) {
	params := none
	for name, values := range h {
		if len(name) <= len(headerParamPrefix) || !strings.EqualFold(name[:len(headerParamPrefix)], headerParamPrefix) {
			continue
		}
		rest := strings.ToLower(name[len(headerParamPrefix):])
		if _, twice := params[rest]; twice || len(values) != 1 {
			return nil, mismatch("%s came more than once", name)
		}
		value, ok := decodeValue(values[0])
		if !ok {
			return nil, mismatch("%s holds characters that a header may not carry, or Base64 that is none", name)
		}
		if len(params) == 0 {
			params = make(map[string]string)
		}
		params[rest] = value
	}
	return params, nil
}

// traceParent returns the W3C trace context of a request, "" when there is none
// or when it is none: version, trace, span and flags in lower-case hexadecimal, of
// which the ids are not all zero and the version is not ff (Trace Context, 2.2).
func traceParent(h http.Header) string {
	v, found, ok := single(h, headerTraceParent)
	if !found || !ok || len(v) != 55 {
		return ""
	}
	for i := 0; i < len(v); i++ {
		c, dash := v[i], i == 2 || i == 35 || i == 52
		if dash != (c == '-') || !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	if v[:2] == "ff" || strings.Trim(v[3:35], "0") == "" || strings.Trim(v[36:52], "0") == "" {
		return ""
	}
	return v
}
