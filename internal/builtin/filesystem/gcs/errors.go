package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// errRange says that a range begins at or beyond the end of an object.
var errRange = errors.New("the range is beyond the end")

// fault is a known error with its cause, which is for the log.
type fault struct{ known, cause error }

func (f *fault) Error() string   { return f.known.Error() + ": " + f.cause.Error() }
func (f *fault) Unwrap() []error { return []error{f.known, f.cause} }

// unreachable is the error of a request that was not answered.
func unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &fault{volume.ErrUnreachable, err}
}

// refusal reads an answer that is an error, and closes it.
func refusal(a *http.Response) error {
	defer func() { _ = a.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(a.Body, maxError))
	var said struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	message := strings.TrimSpace(string(text))
	if json.Unmarshal(text, &said) == nil && said.Error.Message != "" {
		message = said.Error.Message
	}
	cause := errors.New(a.Status + ": " + message[:min(len(message), 500)])
	return &fault{meaning(a.StatusCode, message), cause}
}

func meaning(status int, message string) error {
	switch status {
	case http.StatusUnauthorized:
		return volume.ErrRefused
	case http.StatusForbidden:
		return fs.ErrPermission
	case http.StatusNotFound, http.StatusGone:
		if strings.Contains(strings.ToLower(message), "bucket does not exist") {
			return volume.ErrNoBucket
		}
		return fs.ErrNotExist
	case http.StatusPreconditionFailed, http.StatusConflict, http.StatusNotModified:
		return volume.ErrChanged
	case http.StatusRequestedRangeNotSatisfiable:
		return errRange
	case http.StatusRequestEntityTooLarge:
		return volume.ErrTooLarge
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return volume.ErrBusy
	}
	if status >= http.StatusInternalServerError {
		return volume.ErrUnreachable
	}
	return errors.New("the service does not take the request")
}
