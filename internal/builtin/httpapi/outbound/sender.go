package outbound

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Options say how requests are sent. Transport must be there.
type Options struct {
	// Transport reaches the API. What it answers with is the answer: no redirect
	// is followed, no cookie kept.
	Transport http.RoundTripper
	// Timeout bounds one request with the reading of its answer. Default 30 s.
	Timeout time.Duration
	// TokenClient reaches authorization servers.
	TokenClient *http.Client
	Credentials []Credential
	Rate        backend.Rate
	Retry       backend.Retry
	Breaker     backend.BreakerOptions
	// IdempotencyHeader names the header with which the API recognises a request
	// that it has had; POST and PATCH are then repeated, too. Empty for none.
	IdempotencyHeader string
	// CacheBytes bounds the answers that are kept; 0 keeps none.
	CacheBytes int64
	// Now is the clock.
	Now func() time.Time
	// Sent is told the status of each request that went out; 0 for none. May be nil.
	Sent func(status int)
}

// Sender sends requests. It may be used concurrently. Close it.
type Sender struct {
	o       Options
	pace    *pace
	breaker *backend.Breaker
	signers []*signer
	cache   *backend.Cache[*kept] // nil when nothing is kept
	bodies  sync.Pool             // of *bytes.Buffer, in which answers arrive
	closers []func() error
}

// New returns a Sender.
func New(o Options) *Sender {
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	s := &Sender{o: o, pace: newPace(o.Rate), breaker: backend.NewBreaker(o.Breaker)}
	for _, c := range o.Credentials {
		one := &signer{Credential: c, client: o.TokenClient}
		if c.Kind == OAuth2 {
			one.tokens = backend.NewCache(backend.CacheOptions[string]{LoadTimeout: 15 * time.Second})
			s.closers = append(s.closers, one.tokens.Close)
		}
		s.signers = append(s.signers, one)
	}
	if o.CacheBytes > 0 {
		s.cache = backend.NewCache(backend.CacheOptions[*kept]{MaxBytes: o.CacheBytes, Bytes: (*kept).size})
		s.closers = append(s.closers, s.cache.Close)
	}
	return s
}

// Close releases what is kept.
func (s *Sender) Close() error {
	var errs []error
	for _, f := range s.closers {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// State is that of the breaker: closed, open or half-open.
func (s *Sender) State() string { return s.breaker.State() }

// Message is a request to send.
type Message struct {
	Method string
	URL    *url.URL
	Header http.Header
	Body   []byte // nil for none
	// Security are the sets of schemes of which one is wanted.
	Security [][]string
	// Principal is who asks; answers are kept for each.
	Principal string
	// Repeatable says that to send it twice does no harm although its method
	// does not say so, such as a query that is sent with POST.
	Repeatable bool
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Kept   bool // it was there already
}

// Send sends a request and reads the answer. Errors wrap backend.ErrRate,
// backend.ErrOpen, egress.ErrRefused, egress.ErrTooLarge, egress.ErrCoding and
// those of ctx.
func (s *Sender) Send(ctx context.Context, m Message) (*Answer, error) {
	key := s.cacheKey(&m)
	known, fresh := s.lookup(&m, key)
	if fresh {
		return known.answer(), nil
	}
	signers := s.chosen(m.Security)
	a, tokens, err := s.repeated(ctx, &m, signers, known)
	if err != nil {
		return nil, err
	}
	if a.Status == http.StatusUnauthorized && len(tokens) > 0 {
		// The token was refused, and so the request was not acted on: once more,
		// with a new one.
		for one, token := range tokens {
			one.spent(token)
		}
		if a, _, err = s.repeated(ctx, &m, signers, known); err != nil {
			return nil, err
		}
	}
	return s.keep(&m, key, known, a), nil
}

// repeated sends a request as often as is allowed and worthwhile.
func (s *Sender) repeated(ctx context.Context, m *Message, signers []*signer, known *kept) (*Answer, map[*signer]string, error) {
	var answer *Answer
	var tokens map[*signer]string
	key := idempotencyKey(s.o.IdempotencyHeader, m.Method)
	repeatable := m.Repeatable || idempotent(m.Method) || key != ""
	err := s.o.Retry.Do(ctx, func(ctx context.Context) error {
		answer = nil
		req := s.request(m, known)
		if key != "" {
			req.Header.Set(s.o.IdempotencyHeader, key)
		}
		for _, one := range signers {
			token, err := one.sign(ctx, req)
			if err != nil {
				return err
			}
			if token != "" && tokens == nil {
				tokens = map[*signer]string{}
			}
			if token != "" {
				tokens[one] = token
			}
		}
		var err error
		answer, err = s.once(ctx, req)
		return s.judge(ctx, repeatable, answer, err)
	})
	if answer != nil { // the last answer, whatever it says
		return answer, tokens, nil
	}
	return nil, nil, err
}

// errBusy is the error of an answer that asks to come again.
var errBusy = errors.New("the API is busy")

// judge marks what may be repeated.
func (s *Sender) judge(ctx context.Context, repeatable bool, a *Answer, err error) error {
	switch {
	case err == nil && repeatable && busy(a.Status):
		return backend.Again(errBusy, backend.RetryAfter(a.Header, s.o.Now()))
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, backend.ErrRate), errors.Is(err, backend.ErrOpen), errors.Is(err, egress.ErrRefused), errors.Is(err, egress.ErrTooLarge), errors.Is(err, egress.ErrCoding):
		return err
	case repeatable || errors.Is(err, egress.ErrNotSent):
		return backend.Again(err, 0)
	}
	return err
}

func (s *Sender) request(m *Message, known *kept) *http.Request {
	at := *m.URL // signers add to the query
	req := &http.Request{
		Method: m.Method, URL: &at, Host: at.Host, Header: m.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if len(m.Body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(m.Body)), int64(len(m.Body))
	} else if m.Body != nil {
		req.Body = http.NoBody
	}
	if known != nil {
		known.condition(req.Header)
	}
	return req
}

// once sends a request when its turn has come and reads the answer.
func (s *Sender) once(ctx context.Context, req *http.Request) (*Answer, error) {
	if err := s.pace.wait(ctx); err != nil {
		return nil, err
	}
	var a *Answer
	err := s.breaker.Do(ctx, func(ctx context.Context) (err error) {
		if a, err = s.exchange(ctx, req); err == nil && a.Status >= 500 {
			return errBusy // for the breaker alone
		}
		if errors.Is(err, egress.ErrRefused) || errors.Is(err, egress.ErrTooLarge) || errors.Is(err, egress.ErrCoding) {
			return backend.Fine(err)
		}
		return err
	})
	if a != nil {
		return a, nil
	}
	return nil, err
}

// exchange sends a request, once, and reads the answer.
func (s *Sender) exchange(ctx context.Context, req *http.Request) (*Answer, error) {
	ctx, cancel := egress.Within(ctx, s.o.Timeout)
	defer cancel()
	res, err := s.o.Transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		s.sent(0)
		return nil, err
	}
	s.sent(res.StatusCode)
	defer func() { _ = res.Body.Close() }()
	body, err := s.whole(res)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	a := &Answer{Status: res.StatusCode, Header: res.Header, Body: body}
	s.pace.heed(a)
	return a, nil
}

const (
	// maxLent bounds the memory that is kept for the next body.
	maxLent = 256 << 10
	// maxExpected bounds the memory that is there for a body before it has come.
	maxExpected = 1 << 20
)

// whole reads the body of an answer into memory that was used before, and gives a
// copy that is no larger than it.
func (s *Sender) whole(res *http.Response) ([]byte, error) {
	lent, _ := s.bodies.Get().(*bytes.Buffer)
	if lent == nil {
		lent = bytes.NewBuffer(make([]byte, 0, 16<<10))
	}
	lent.Reset()
	if n := res.ContentLength; n > 0 && n < maxExpected {
		lent.Grow(int(n) + bytes.MinRead)
	}
	if _, err := lent.ReadFrom(res.Body); err != nil {
		return nil, err
	}
	if lent.Cap() > maxLent { // not worth a copy
		return lent.Bytes(), nil
	}
	body := bytes.Clone(lent.Bytes())
	s.bodies.Put(lent)
	return body, nil
}

func (s *Sender) sent(status int) {
	if s.o.Sent != nil {
		s.o.Sent(status)
	}
}

// idempotent methods do no harm when they are repeated (RFC 9110 §9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete, "QUERY":
		return true
	}
	return false
}
