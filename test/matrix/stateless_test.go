package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"
)

// errInput makes the engine answer input_required.
var errInput = &failure{Message: "input is required"}

// stateless answers one request of 2026-07-28. Notifications go to out. Of a
// request that was cancelled the answer is nil.
func (s *script) stateless(ctx context.Context, msg obj, out func(obj)) obj {
	id, method, params := msg["id"], textAt(msg, "method"), objectAt(msg, "params")
	meta := objectAt(params, "_meta")
	caps, hasCaps := meta[metaCapabilities].(obj)
	version := textAt(meta, metaVersion)
	switch {
	case method == "initialize":
		return response(id, nil, &failure{Code: -32022, Message: "Unsupported protocol version", Data: obj{"supported": list{revModern}, "requested": params["protocolVersion"]}})
	case version != revModern || !hasCaps:
		s.fault("%s has no right _meta: %s", method, encode(meta))
		return response(id, nil, fail(-32602, "_meta is missing"))
	}
	if info, given := meta[metaClientInfo]; given && textAt(info, "name") == "" {
		s.fault("clientInfo has no name: %s", encode(info))
	}
	if method == "subscriptions/listen" {
		return s.listen(ctx, id, params, out)
	}
	if method == "tools/call" {
		out(notification("notifications/acme/noise", obj{"x-acme": grease()}))
	}
	r := &retrying{s: s, params: params}
	result, err := s.dispatch(&invocation{
		ctx: ctx, method: method, params: params, caps: caps, level: textAt(meta, metaLevel),
		notify: func(method string, params obj) { out(notification(method, params)) },
		ask:    r.ask,
	})
	if ctx.Err() != nil {
		return nil
	}
	if err == errInput {
		return response(id, s.finished(method, r.result()), nil)
	}
	if err != nil {
		return response(id, nil, err)
	}
	return response(id, s.finished(method, result), nil)
}

func (s *script) dispatch(c *invocation) (obj, *failure) {
	switch c.method {
	case "server/discover":
		return obj{
			"supportedVersions": list{revModern}, "instructions": "Be nice to " + s.name + ".", "x-acme": grease(),
			"capabilities": obj{
				"tools": obj{"listChanged": true, "x-acme": true}, "prompts": obj{"listChanged": true}, "logging": obj{}, "completions": obj{},
				"resources": obj{"subscribe": true, "listChanged": true}, "experimental": obj{"acme": grease()},
				"extensions": obj{"org.example/acme": grease()}, "x-acme": grease(),
			},
		}, nil
	case "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe":
		s.fault("%s does not exist in %s", c.method, s.rev)
	}
	return s.answer(c)
}

// finished gives a result what every result of the revision has.
func (s *script) finished(method string, result obj) obj {
	result = maps.Clone(result)
	if result["resultType"] == nil {
		result["resultType"] = "complete"
	}
	switch method {
	case "server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read":
		if result["resultType"] == "complete" {
			result["ttlMs"], result["cacheScope"] = 0, "public"
		}
	}
	result["_meta"] = with(objectAt(result, "_meta"), obj{
		metaServerInfo: obj{"name": "scripted " + s.rev, "version": "1.0"}, "acme/note": grease(),
	})
	return result
}

// listen serves a subscription until its end.
func (s *script) listen(ctx context.Context, id any, params obj, out func(obj)) obj {
	wanted := objectAt(params, "notifications")
	if wanted == nil {
		s.fault("subscriptions/listen has no notifications: %s", encode(params))
	}
	tag := obj{metaSubscription: id}
	l := &listener{lists: map[string]bool{}, uris: map[string]bool{}}
	honoured := obj{}
	for what, name := range map[string]string{"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"} {
		if wanted[name] == true {
			l.lists[what], honoured[name] = true, true
		}
	}
	for _, uri := range listAt(wanted, "resourceSubscriptions") {
		if text, ok := uri.(string); ok && strings.HasPrefix(text, s.uri("")) {
			l.uris[text] = true
			honoured["resourceSubscriptions"] = append(listAt(honoured, "resourceSubscriptions"), uri)
		}
	}
	l.tell = func(method string, params obj) {
		out(notification(method, with(params, obj{"_meta": with(objectAt(params, "_meta"), tag)})))
	}
	leave := s.attend(l, func() {
		out(notification("notifications/subscriptions/acknowledged", obj{"notifications": honoured, "_meta": tag, "x-acme": grease()}))
	})
	<-ctx.Done()
	leave()
	return nil
}

// retrying lets a tool ask: what the client has answered already is in its
// state, what it answers now in inputResponses; for anything else the client
// has to come again.
type retrying struct {
	s       *script
	params  obj
	asked   int
	open    obj // questions without an answer
	answers obj // known so far
}

// seal makes a state of answers that tells when a byte of it has changed.
func (s *script) seal(answers obj) string {
	text := string(encode(obj{"answers": answers, "odd": oddText, "by": s.name}))
	sum := sha256.Sum256([]byte(text))
	return " " + text + hex.EncodeToString(sum[:]) + "\t"
}

func (s *script) unseal(state string) (obj, bool) {
	text, ok := strings.CutPrefix(state, " ")
	text, ok2 := strings.CutSuffix(text, "\t")
	if !ok || !ok2 || len(text) < 2*sha256.Size {
		return nil, false
	}
	text, digest := text[:len(text)-2*sha256.Size], text[len(text)-2*sha256.Size:]
	sum := sha256.Sum256([]byte(text))
	o, err := decodeObject([]byte(text))
	return objectAt(o, "answers"), err == nil && hex.EncodeToString(sum[:]) == digest && o["by"] == s.name
}

func (r *retrying) ask(questions ...question) ([]obj, *failure) {
	if r.answers == nil {
		if err := r.load(); err != nil {
			return nil, err
		}
	}
	var got []obj
	for _, q := range questions {
		r.asked++
		k := "question " + strconv.Itoa(r.asked) + " " + oddText
		if a := objectAt(r.answers, k); a != nil {
			got = append(got, a)
			continue
		}
		if r.open == nil {
			r.open = obj{}
		}
		r.open[k] = obj{"method": q.method, "params": q.params, "x-acme": grease()}
	}
	if r.open != nil {
		return nil, errInput
	}
	return got, nil
}

func (r *retrying) load() *failure {
	r.answers = obj{}
	state, given := r.params["requestState"]
	if given {
		text, _ := state.(string)
		known, ok := r.s.unseal(text)
		if !ok {
			r.s.fault("requestState came back changed: %q", text)
			return fail(-32602, "requestState is not valid")
		}
		maps.Copy(r.answers, known)
	}
	responses := objectAt(r.params, "inputResponses")
	if responses != nil && !given {
		r.s.fault("inputResponses came without the requestState that was given")
	}
	maps.Copy(r.answers, responses)
	return nil
}

func (r *retrying) result() obj {
	return obj{"resultType": "input_required", "inputRequests": r.open, "requestState": r.s.seal(r.answers), "x-acme": grease()}
}
