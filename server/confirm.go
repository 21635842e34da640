package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// errAsk ends a call whose result asks the user something.
var errAsk = errors.New("the user is asked")

// askConfirm is the name of Confirm's question in input_required.
const askConfirm = "confirm"

// consentTime is for how long a user's consent holds: longer than a client waits
// for its user, and not so long that it could be kept for later.
const consentTime = 15 * time.Minute

// consent is what the state of a question carries: which call it is about.
type consent struct {
	Digest string    `json:"d"`
	Asked  time.Time `json:"t"`
}

// Confirm asks the user, through the client, whether the call shall go on, and
// returns nil when the user has said so to this very call, with these very
// arguments. Until then its error must be returned as it is: it makes the
// result one that asks (2026-07-28, basic/utilities/mrtr). A client that cannot
// ask is refused; whether a tool may do without is for the server's settings to
// say, not for the model.
func (c *Call) Confirm(question string) error {
	now := c.server.env.Now()
	this := digestOf(c.Request.Params.Arguments)
	if answer, ok := c.Request.Params.InputResponses[askConfirm].(*sdk.ElicitResult); ok {
		var asked consent
		err := c.server.sealer.open(c.Request.Params.RequestState, &asked, askConfirm+" "+c.tool, c.Principal)
		switch {
		case err != nil || asked.Digest != this || now.Sub(asked.Asked) > consentTime:
			return Errorf("call again without an answer", "the user was asked about another call, or too long ago")
		case answer.Action != "accept":
			return Errorf("do not try again unless the user asks for it", "the user has not agreed")
		}
		return nil
	}
	if !c.elicits {
		return Errorf("use a client that can (elicitation), or let the operator allow it in the settings",
			"this needs the consent of the user, whom this client cannot ask")
	}
	c.Result.Content = nil // a result that asks has no other
	c.Result.InputRequests = sdk.InputRequestMap{askConfirm: &sdk.ElicitParams{
		Mode: "form", Message: question, RequestedSchema: &jsonschema.Schema{Type: "object"},
	}}
	c.Result.RequestState = c.server.sealer.seal(consent{this, now}, askConfirm+" "+c.tool, c.Principal)
	return errAsk
}

// digestOf tells arguments apart, in whatever order and with whatever spaces they
// are written.
func digestOf(arguments json.RawMessage) string {
	var value any
	dec := json.NewDecoder(bytes.NewReader(arguments))
	dec.UseNumber()
	text := []byte(arguments)
	if dec.Decode(&value) == nil {
		if again, err := json.Marshal(value); err == nil {
			text = again
		}
	}
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}
