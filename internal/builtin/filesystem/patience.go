package filesystem

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// patience is how long a service may take to begin an answer to a request without a body. Three attempts fit into the
// default time of a call, so that the caller is told what is wrong rather than that time is over.
const patience = 8 * time.Second

var errSilent = errors.New("the service did not begin to answer in time")

// patient sends requests and waits so long for the head of an answer.
type patient struct {
	next http.RoundTripper
	wait time.Duration
}

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		return p.next.RoundTrip(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	late := time.AfterFunc(p.wait, func() { cancel(errSilent) })
	a, err := p.next.RoundTrip(r.WithContext(ctx))
	late.Stop()
	if err != nil {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = errSilent
		}
		cancel(nil)
		return nil, err
	}
	a.Body = lastly{a.Body, func() { cancel(nil) }}
	return a, nil
}

// lastly is a body that releases what belongs to it when it is closed.
type lastly struct {
	io.ReadCloser
	release func()
}

func (l lastly) Close() error {
	err := l.ReadCloser.Close()
	l.release()
	return err
}
