package s3

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"

	"github.com/minio/minio-go/v7"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

type (
	conditionKey struct{}
	tallyKey     struct{}
)

// tally counts the requests for pages that one iteration sends.
type tally struct{ lists int }

// conditional makes a condition part of the requests that change something. The client library has conditions for some
// of them only; it signs neither of these headers, nor does the protocol want it to.
func conditional(ctx context.Context, when volume.Condition) context.Context {
	return context.WithValue(ctx, conditionKey{}, when)
}

// carrier sends requests, and does what the context of a request says beside.
type carrier struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	if pages, ok := r.Context().Value(tallyKey{}).(*tally); ok && r.URL.Query().Has("list-type") {
		pages.lists++
	}
	when, _ := r.Context().Value(conditionKey{}).(volume.Condition)
	if when == (volume.Condition{}) || !final(r) {
		return c.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	if when.Match != "" {
		r.Header.Set("If-Match", `"`+when.Match+`"`)
	} else {
		r.Header.Set("If-None-Match", "*")
	}
	return c.next.RoundTrip(r)
}

// final says whether a request makes or deletes an object, rather than a part of an upload.
func final(r *http.Request) bool {
	upload := r.URL.Query().Has("uploadId")
	switch r.Method {
	case http.MethodPut, http.MethodDelete:
		return !upload
	case http.MethodPost:
		return upload
	}
	return false
}

// failed makes what the client says one of the errors that are told. The first error stays in the chain, for the log.
func failed(err error) error {
	if err == nil {
		return nil
	}
	r := minio.ToErrorResponse(err)
	known := func(e error) error { return &fault{e, err} }
	switch {
	case r.Code == minio.NoSuchBucket, r.Code == "InvalidBucketName":
		return known(volume.ErrNoBucket)
	case slices.Contains([]string{"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "XMinioAdminInvalidAccessKey"}, r.Code):
		return known(volume.ErrRefused)
	case r.StatusCode == http.StatusUnauthorized:
		return known(volume.ErrRefused)
	case r.StatusCode == http.StatusForbidden:
		return known(fs.ErrPermission)
	case r.StatusCode == http.StatusNotFound:
		return known(fs.ErrNotExist)
	case r.StatusCode == http.StatusPreconditionFailed, r.StatusCode == http.StatusConflict:
		return known(volume.ErrChanged)
	case r.StatusCode == http.StatusRequestEntityTooLarge, r.Code == "EntityTooLarge":
		return known(volume.ErrTooLarge)
	case r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusServiceUnavailable, r.Code == "SlowDown":
		return known(volume.ErrBusy)
	case r.StatusCode >= http.StatusInternalServerError:
		return known(volume.ErrUnreachable)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || r.StatusCode != 0 {
		return err
	}
	return known(volume.ErrUnreachable)
}

// refused says what a condition that does not hold means for a new object.
func refused(err error, when volume.Condition) error {
	if when.Absent && errors.Is(err, volume.ErrChanged) {
		return fs.ErrExist
	}
	return err
}

// fault is a known error with what the client said.
type fault struct{ known, cause error }

func (f *fault) Error() string   { return f.known.Error() + ": " + f.cause.Error() }
func (f *fault) Unwrap() []error { return []error{f.known, f.cause} }
