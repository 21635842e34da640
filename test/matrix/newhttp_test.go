package matrix

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// serveNewHTTP serves s of 2026-07-28 over Streamable HTTP.
func (h *house) serveNewHTTP(s *script) {
	h.mux.HandleFunc("/"+s.name, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			s.fault("%s is not sent to a server of %s", r.Method, s.rev)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		s.post(w, r)
	})
}

func (s *script) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	msg, err := decodeObject(body)
	if err != nil || msg["method"] == nil || msg["id"] == nil {
		s.fault("a POST is one request: %.200s", body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	answer := newReply(w, s, "")
	answer.status = statusOf
	defer answer.end()
	if wrong := mirrors(r.Header, msg); wrong != "" {
		s.fault("%s: %s", msg["method"], wrong)
		answer.put(response(msg["id"], nil, fail(-32020, "Header mismatch: %s", wrong)))
		return
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	defer context.AfterFunc(r.Context(), func() { cancel(errors.New("disconnect")) })()
	if result := s.stateless(ctx, msg, answer.put); result != nil {
		answer.put(result)
	}
}

// statusOf is the HTTP status of a response that is the whole answer.
func statusOf(msg obj) int {
	switch failureOf(msg).code() {
	case 0:
		return http.StatusOK
	case -32601:
		return http.StatusNotFound
	case -32020, -32021, -32022:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func (f *failure) code() int {
	if f == nil {
		return 0
	}
	return f.Code
}

// mirrors compares the headers of a request with its body (2026-07-28,
// basic/transports/streamable-http); it says what is wrong.
func mirrors(h http.Header, msg obj) string {
	params := objectAt(msg, "params")
	method := textAt(msg, "method")
	want := map[string]string{"Mcp-Protocol-Version": textAt(params, "_meta", metaVersion), "Mcp-Method": method, "Content-Type": "application/json"}
	switch method {
	case "tools/call", "prompts/get":
		want["Mcp-Name"] = textAt(params, "name")
	case "resources/read":
		want["Mcp-Name"] = textAt(params, "uri")
	}
	if method == "tools/call" && params["name"] == "mirror" {
		for header, path := range map[string][]any{"Mcp-Param-Region": {"region"}, "Mcp-Param-Count": {"deep", "count"}} {
			switch v := at(params["arguments"], path...).(type) {
			case string:
				want[header] = v
			case json.Number:
				want[header] = v.String()
			case nil:
				want[header] = ""
			}
		}
	}
	for name, value := range want {
		if got := unwrap(h.Get(name)); got != value {
			return fmt.Sprintf("header %s is %q, the body says %q", name, got, value)
		}
	}
	if accept := h.Get("Accept"); !strings.Contains(accept, "application/json") || !strings.Contains(accept, "text/event-stream") {
		return fmt.Sprintf("Accept is %q", accept)
	}
	if h.Get("Mcp-Session-Id") != "" || h.Get("Last-Event-Id") != "" {
		return "there are no sessions and no events to come back for"
	}
	return ""
}

// unwrap decodes a header value.
func unwrap(v string) string {
	text, ok := strings.CutPrefix(v, "=?base64?")
	text, ok2 := strings.CutSuffix(text, "?=")
	if !ok || !ok2 {
		return v
	}
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return v
	}
	return string(plain)
}

// wrap is the other way round.
func wrap(v string) string {
	for _, c := range v {
		if c < ' ' || c > '~' {
			return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(v)) + "?="
		}
	}
	return v
}

// inProcess is s as a handler of this process.
type inProcess struct{ s *script }

var _ mcp.Handler = inProcess{}

// Handle implements mcp.Handler.
func (p inProcess) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	token := string(req.ProgressToken)
	params, err := decodeObject(req.AppendModern(nil, token))
	if err != nil {
		return mcp.Result{}, err
	}
	if key := mcp.NameKey(req.Method); key != "" && textAt(params, key) != req.Name {
		p.s.fault("%s names %q and %q", req.Method, req.Name, textAt(params, key))
	}
	out := func(m obj) {
		o := obj{}
		if given := objectAt(m, "params"); given != nil {
			o = given
		}
		split, _ := jsonrpc.Split(encode(o))
		req.Emit(mcp.Notification{Method: textAt(m, "method"), Params: split})
	}
	if req.Method == "subscriptions/listen" {
		// Its notifications do not carry the subscription's id here.
		tagged := out
		out = func(m obj) {
			params := objectAt(m, "params")
			tagged(with(m, obj{"params": with(params, obj{"_meta": without(objectAt(params, "_meta"), metaSubscription)})}))
		}
	}
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(errors.New("context")) })()
	msg := p.s.stateless(inner, obj{"jsonrpc": "2.0", "id": json.Number("1"), "method": req.Method, "params": params}, out)
	if msg == nil {
		return mcp.Result{}, ctx.Err()
	}
	if err := failureOf(obj{"error": decoded(msg["error"])}); err != nil {
		return mcp.Result{}, &mcp.Error{Code: err.Code, Message: err.Message, Data: encodeOrNil(err.Data)}
	}
	return mcp.RawResult(encode(msg["result"])), nil
}

// decoded is v as it comes off the wire.
func decoded(v any) any {
	if v == nil {
		return nil
	}
	out, err := decode(encode(v))
	if err != nil {
		panic(err) // it was just written
	}
	return out
}

func encodeOrNil(v any) []byte {
	if v == nil {
		return nil
	}
	return encode(v)
}
