package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

// fate is what has become of a request.
type fate int

const (
	// answered: the server has had its say, be it an error. That is no fault of
	// the way to it.
	answered fate = iota
	// unsent: the server has seen nothing of it, or has turned it away without
	// looking into it. It may be sent again, whatever it asks for.
	unsent
	// lost: nobody knows whether it took effect.
	lost
)

// fateOf judges the error of a handler that reaches a server. A *mcp.Error as it
// is comes from the server; transports wrap what they say themselves.
func fateOf(err error) fate {
	if err == nil {
		return answered
	}
	if _, own := err.(*mcp.Error); own {
		return answered
	}
	if errors.Is(err, mcp.ErrNotSent) || errors.Is(err, egress.ErrNotSent) {
		return unsent
	}
	var wire *mcp.Error
	said := errors.As(err, &wire)
	status, hasStatus := statusOf(err)
	switch {
	case said && wire.Code == mcp.CodeCallLost:
		return lost
	case errors.Is(err, mcp.ErrSessionLost) && hasStatus:
		return unsent // it is this request that was turned away, for want of a session
	case status.body != nil:
		return answered
	case hasStatus && (status.code < 500 || status.code == http.StatusServiceUnavailable):
		return unsent
	case said && wire.Code == mcp.CodeUnavailable:
		return unsent
	}
	return lost
}

// status is the HTTP status that a server answered with instead of a result.
type status struct {
	code int
	body *mcp.Error // the JSON-RPC error that came with it; nil for none
}

// statusOf finds the status in an error of one of the transports.
func statusOf(err error) (status, bool) {
	var streamable *streamhttp.StatusError
	var events *httpsse.StatusError
	var socket *websocket.StatusError
	switch {
	case errors.As(err, &streamable):
		return status{streamable.Status, streamable.Err}, true
	case errors.As(err, &events):
		return status{code: events.Status}, true
	case errors.As(err, &socket):
		return status{code: socket.Status}, true
	}
	return status{}, false
}

// turnedAway reports whether a server that is there has refused a request as
// wrong or not allowed, which it may do to one caller and not to another.
func turnedAway(err error) bool {
	st, ok := statusOf(err)
	return ok && st.code >= 400 && st.code < 500 && st.code != http.StatusTooManyRequests
}

// refused makes an error of something that was never tried, or failed before
// the request could be sent.
func refused(err error) error { return fmt.Errorf("%w: %w", mcp.ErrNotSent, err) }

// Why there is no link for a caller.
var (
	errIdle    = errors.New("it is started on demand and does not run now")
	errRemoved = errors.New("it was removed from the configuration")
	errFleet   = errors.New("it has as many connections open as can be kept")
	errBrief   = errors.New("it keeps ending right after its start")
)

// endedError is why a program is not started that has ended by itself.
type endedError struct{ err error }

func (e *endedError) Error() string {
	return fmt.Sprintf("it ended by itself, and restart.enabled is false: %v", e.err)
}
func (e *endedError) Unwrap() error { return e.err }

// illError is why calls are turned away without trying.
type illError struct {
	why   string
	cause error
}

func (e *illError) Error() string { return fmt.Sprintf("%s: %v", e.why, e.cause) }
func (e *illError) Unwrap() error { return e.cause }

// isHeld reports whether a program is not started because it may not be: nothing is wrong with the server.
func isHeld(err error) bool {
	var held *supervisor.HeldError
	return errors.As(err, &held)
}

// hopeless reports whether trying again soon cannot help: what is wrong is known,
// and will be for a while.
func hopeless(err error) bool {
	var missing *supervisor.NotFoundError
	var crash *supervisor.CrashLoopError
	var ended *endedError
	var ill *illError
	var fetch *supervisor.FetchError
	return isHeld(err) || errors.As(err, &fetch) || errors.As(err, &missing) || errors.As(err, &crash) || errors.As(err, &ended) || errors.As(err, &ill) ||
		errors.Is(err, errRemoved) || errors.Is(err, errFleet)
}

// callError is the end of a call that did not come through: what the caller is
// told, and the cause, which only the log gets.
type callError struct {
	wire  *mcp.Error
	cause error
}

func (e *callError) Error() string { return fmt.Sprintf("%s: %v", e.wire.Message, e.cause) }

// Unwrap gives what may be told first, which is what mcp.WireError takes.
func (e *callError) Unwrap() []error { return []error{e.wire, e.cause} }

// fail makes the error of a call. Its data names the server, so that who calls
// several through one gateway knows which.
func (u *Upstream) fail(cause error, code int, format string, args ...any) error {
	text := "server " + u.cfg.Name + " " + fmt.Sprintf(format, args...)
	data := map[string]any{"server": u.cfg.Name}
	if code == mcp.CodeUnavailable {
		data["reason"] = publicReason(cause)
	}
	return &callError{wire: mcp.ErrorData(code, text, data), cause: cause}
}

// outcome is how a call ended. caller is the context that came with the call,
// own the one with our deadline.
type outcome struct {
	caller, own context.Context
	method      string
	err         error
}

// explain says for the caller what went wrong on the way.
func (u *Upstream) explain(o outcome) error {
	f := fateOf(o.err)
	if f == answered {
		return o.err
	}
	switch {
	case errors.Is(o.caller.Err(), context.DeadlineExceeded):
		return u.fail(o.err, mcp.CodeTimeout, "did not answer %s in the time that its caller has", o.method)
	case o.caller.Err() != nil:
		return o.caller.Err()
	}
	var wire *mcp.Error
	if isHeld(o.err) && errors.As(o.err, &wire) { // why it may not be started is for callers too
		return &callError{wire: wire, cause: o.err}
	}
	u.failures.Add(1)
	switch {
	case errors.Is(o.own.Err(), context.DeadlineExceeded) && f == unsent:
		return u.fail(o.err, mcp.CodeTimeout, "could not be reached within %s; %s was not sent to it", u.cfg.Timeout, o.method)
	case errors.Is(o.own.Err(), context.DeadlineExceeded):
		return u.fail(o.err, mcp.CodeTimeout, "did not answer %s within %s; it was told to stop", o.method, u.cfg.Timeout)
	case f == unsent:
		return u.fail(o.err, mcp.CodeUnavailable, "cannot be reached: %s", publicReason(o.err))
	}
	return u.fail(o.err, mcp.CodeCallLost, "was lost during %s; whether that took effect is not known, and it was not repeated", o.method)
}

// publicReason is what callers may know of why a server cannot be reached:
// enough to act on, nothing of where it runs or what it says of itself.
func publicReason(err error) string {
	var missing *supervisor.NotFoundError
	var crash *supervisor.CrashLoopError
	var exit *supervisor.ExitError
	var fetch *supervisor.FetchError
	var dns *net.DNSError
	var ended *endedError
	var ill *illError
	var unfit *misfitError
	var pin *egress.PinError
	st, hasStatus := statusOf(err)
	switch {
	case errors.As(err, &ill):
		return ill.why + ": " + publicReason(ill.cause)
	case errors.Is(err, errIdle), errors.Is(err, errRemoved), errors.Is(err, errFleet), errors.Is(err, errBrief):
		return known(err)
	case errors.As(err, &ended):
		return "its program ended, and restart.enabled is false"
	case errors.As(err, &missing):
		return "its program was not found; check command"
	case isHeld(err):
		return "what it would start is held back until an operator approves it: dragoman tools diff shows it"
	case errors.As(err, &fetch):
		return "its package could not be fetched; it is tried again later, see the log for what was said"
	case errors.As(err, &crash):
		return "its program keeps ending; it is tried again later, see the log for its last words"
	case errors.As(err, &exit):
		return "its program ended; see the log for its last words"
	case errors.As(err, &unfit):
		return unfit.Error()
	case errors.As(err, &pin):
		return "its certificate has none of the keys in its chain that tls_pins names; see the log for those that it has"
	case hasStatus:
		return statusReason(st.code)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.As(err, &dns):
		return "its host name does not resolve"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "it did not answer in time"
	}
	return "the connection failed; see the gateway's log or dragoman doctor"
}

// known returns the words of the one of our own reasons that err is.
func known(err error) string {
	for _, reason := range []error{errIdle, errRemoved, errFleet, errBrief} {
		if errors.Is(err, reason) {
			return reason.Error()
		}
	}
	return ""
}

func isTimeout(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Timeout()
}

func statusReason(code int) string {
	text := fmt.Sprintf("it answered HTTP %d %s", code, http.StatusText(code))
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return text + "; check the credentials in headers"
	case code >= 300 && code < 400:
		return text + "; configure the address that it has moved to"
	case slices.Contains(foreignStatuses(), code):
		return text + "; check that url is the address of its MCP endpoint"
	}
	return text
}
