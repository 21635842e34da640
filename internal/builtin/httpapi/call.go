package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// request is what a caller wants of an operation.
type request struct {
	arguments map[string]json.RawMessage
	fields    []string
}

// operate is the call of a direct tool.
func (a *api) operate(ctx context.Context, c *server.Call, r *rest, op *operation, in map[string]json.RawMessage) (answer, error) {
	var q request
	var cursor string
	properties, _ := op.Input(openapi.View{Depth: 1, Words: -1})["properties"].(map[string]any)
	for name, into := range map[string]any{"_fields": &q.fields, "_cursor": &cursor} {
		if text, given := in[name]; given && properties[name] == nil {
			if err := json.Unmarshal(text, into); err != nil {
				return answer{}, server.Errorf("correct it", "argument %s: %w", name, err)
			}
			delete(in, name)
		}
	}
	if cursor != "" {
		return a.resume(c, r.base.Host, cursor)
	}
	q.arguments = in
	return a.perform(ctx, c, r, op, q)
}

// perform calls an operation.
func (a *api) perform(ctx context.Context, c *server.Call, r *rest, op *operation, q request) (answer, error) {
	if err := fits(op, q.arguments); err != nil {
		return answer{}, err
	}
	req, err := op.Request(q.arguments, r.rules)
	if err != nil {
		return answer{}, &server.Error{Message: err.Error(), Next: "describe shows the arguments of " + op.Name}
	}
	if a.cfg.Writes == "ask" && !safe(op.Method) {
		if err := c.Confirm(fmt.Sprintf("Let %s do %s %s at %s?", a.name(), op.Method, req.Path, r.base.Host)); err != nil {
			return answer{}, err
		}
	}
	at, err := joined(r.base, req)
	if err != nil {
		return answer{}, err
	}
	for name, value := range a.cfg.Headers {
		req.Header.Set(name, value.Reveal())
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json, */*;q=0.5")
	}
	got, err := r.sender.Send(ctx, outbound.Message{
		Method: op.Method, URL: at, Header: req.Header, Body: req.Body, Security: op.Security, Principal: c.Principal,
	})
	if err != nil {
		return answer{}, unsent(err, safe(op.Method))
	}
	c.Untrusted(r.base.Host)
	out, err := a.shape(c, got, q.fields)
	if err != nil {
		return answer{}, err
	}
	if got.Status >= 300 {
		c.Result.IsError = got.Status >= 400
		out.Next = a.next(got, op)
	}
	return out, nil
}

func (a *api) name() string {
	if a.env.Name != "" {
		return a.env.Name
	}
	return "httpapi"
}

// joined is the URL of a request: the base with the request's path behind its
// own. Whatever was given, scheme, host and port are those of the base, and the
// path begins with the base's.
func joined(base *url.URL, req *openapi.Request) (*url.URL, error) {
	at := *base
	if base.RawPath == "" && strings.HasPrefix(req.Path, "/") && simple(req.Path, "/") && simple(req.Query, "=&") {
		at.Path, at.RawQuery = base.Path+req.Path, req.Query
		return &at, nil
	}
	raw := base.EscapedPath() + req.Path
	plain, err := url.PathUnescape(raw)
	if err != nil || !strings.HasPrefix(req.Path, "/") {
		return nil, fmt.Errorf("join %q and %q: %w", base, req.Path, errors.Join(err, errors.New("no path")))
	}
	at.Path, at.RawPath, at.RawQuery = plain, raw, req.Query
	again, err := url.Parse(at.String())
	if err != nil || again.Host != base.Host || again.Scheme != base.Scheme || again.User != nil || again.EscapedPath() != raw || again.RawQuery != req.Query || again.Fragment != "" {
		return nil, server.Errorf("use other arguments", "the arguments would lead to another URL")
	}
	return &at, nil
}

// simple reports whether text has letters, digits, - and _, and some others, alone:
// what no reader of URLs takes for anything else.
func simple(text, others string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// unsent tells why there is no answer. read says that nothing can have happened.
func unsent(err error, read bool) error {
	again := "try again later"
	if !read {
		again = "look whether it has happened before you try again"
	}
	switch {
	case errors.Is(err, backend.ErrRate), errors.Is(err, backend.ErrOpen):
		return &server.Error{Message: "the request was not sent: " + err.Error(), Next: "wait that long", Err: err}
	case errors.Is(err, egress.ErrTooLarge):
		return &server.Error{Message: "the answer is larger than this server reads", Next: "ask for less, with a limit or a filter of the operation", Err: err}
	case errors.Is(err, egress.ErrCoding):
		return &server.Error{Message: "the " + coding(err), Next: "the API has to heed Accept-Encoding; to repeat the call does not help", Err: err}
	case errors.Is(err, egress.ErrRefused):
		return &server.Error{Message: "the API's host may not be reached from here", Next: "the operator sets settings.reach", Err: err}
	case outbound.IsToken(err):
		return &server.Error{Message: "the authorization server gives no token", Next: "the operator checks settings.auth.oauth2; the log has its answer", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &server.Error{Message: "the API has not answered in time", Next: again, Err: err}
	case errors.Is(err, egress.ErrNotSent):
		return &server.Error{Message: "the API cannot be reached", Next: "try again later", Err: err}
	}
	return &server.Error{Message: "the API has not answered", Next: again, Err: err}
}

// coding is what the way out says of an answer that it cannot read, and of it
// nothing more than that.
func coding(err error) string {
	text := err.Error()
	if at := strings.Index(text, egress.ErrCoding.Error()); at >= 0 {
		text = text[at:]
	}
	return openapi.Clean(text, 200)
}

// next says what to do about an answer that is no success.
func (a *api) next(got *outbound.Answer, op *operation) string {
	switch s := got.Status; {
	case s < 400:
		return "redirects are not followed, since they would take the credentials along; the header Location says where it is"
	case s == http.StatusUnauthorized && len(a.cfg.Auth) == 0:
		return "the API wants credentials" + wants(op) + "; the operator sets settings.auth"
	case s == http.StatusUnauthorized:
		return "the API does not accept the configured credentials" + wants(op) + "; the operator checks settings.auth"
	case s == http.StatusForbidden:
		return "the configured credentials may not do this; ask the operator, or use another operation"
	case s == http.StatusNotFound || s == http.StatusGone:
		return "there is no such thing: check the arguments in the path, or list what there is"
	case s == http.StatusConflict || s == http.StatusPreconditionFailed:
		return "it has changed or exists already: read it again, then decide"
	case s == http.StatusTooManyRequests:
		return "the API asks for patience: " + patience(got)
	case s >= 500 && !safe(op.Method):
		return "the API has failed, and the request may have been carried out: look before you try again"
	case s >= 500:
		return "the API has failed: " + patience(got)
	}
	return "correct the arguments: the answer says what is wrong, and describe what is expected"
}

func wants(op *operation) string {
	var names []string
	for _, set := range op.Security {
		if name := strings.Join(set, " with "); name != "" && !slices.Contains(names, name) {
			names = append(names, openapi.Clean(name, 60))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, " or ") + ")"
}

func patience(got *outbound.Answer) string {
	if wait := backend.RetryAfter(got.Header, time.Now()); wait > 0 {
		return "try again in " + wait.Round(time.Second).String()
	}
	return "try again later"
}
