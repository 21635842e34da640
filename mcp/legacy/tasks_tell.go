package legacy

import (
	"math"
	"strconv"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// pollInterval reads how long to wait between questions after a task, in
// milliseconds, within our bounds; false when it does not say.
func pollInterval(text []byte) (time.Duration, bool) {
	ms, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(ms) {
		return 0, false
	}
	ms = min(max(ms, float64(pollMin.Milliseconds())), float64(pollMax.Milliseconds()))
	return time.Duration(ms * float64(time.Millisecond)), true
}

// teller tells the caller of a call that is a task behind its back how that
// does: each message of its status becomes progress.
type teller struct {
	message string  // the last one
	told    float64 // the last progress
	begun   bool    // there has been some
}

// step is by how much progress grows with a message: so little that what the
// server itself counts stays ahead (basic/utilities/progress: it MUST increase).
const step = 0.001

// tell tells req's caller a message, unless it is the same as before.
func (t *teller) tell(req *mcp.Request, message string) {
	if message == "" || message == t.message {
		return
	}
	t.message = message
	if req.ProgressToken == nil {
		return
	}
	t.told, t.begun = t.told+step, true
	req.Emit(mcp.Notification{Method: "notifications/progress", Params: jsonrpc.Object{}.With(
		jsonrpc.Edit{Name: "progressToken", Value: req.ProgressToken},
		jsonrpc.Edit{Name: "progress", Value: strconv.AppendFloat(nil, t.told, 'f', 3, 64)},
		jsonrpc.Edit{Name: "message", Value: jsonrpc.AppendString(nil, message)})})
}

// pass passes the server's own progress on, if it is any.
func (t *teller) pass(req *mcp.Request, msg jsonrpc.Message) {
	progress, err := strconv.ParseFloat(string(msg.Params.Get("progress")), 64)
	if req.ProgressToken == nil || err != nil || t.begun && progress <= t.told {
		return
	}
	t.told, t.begun = progress, true
	req.Emit(mcp.OwnNotification(req, msg))
}
