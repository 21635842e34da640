package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Who logs in has to be who was asked to. Local users show it by their password, on
// the page. For others the browser is shown a code at the end, and what the login
// gave is theirs when their own application has given the code back:
//
//	browser ──login──► what it gave, put aside ──► page with a code
//	                          ▲                         │ read by whoever sits there
//	        caller ──log_in(code)──◄────────────────────┘
//
// So a login that ended in another's browser is nobody's: neither who sent the
// link to somebody has the code, nor who was sent a link that is not theirs.

const (
	// proofTTL is how long a code is good for.
	proofTTL = 10 * time.Minute
	// maxGuesses is how many codes may be tried for one login.
	maxGuesses = 5
	// codeLength is the number of characters of a code, of 5 bits each: with
	// maxGuesses one login in 2*10^11 is guessed.
	codeLength = 8
	// asidePrefix begins the name, in the key of its row, of the server of what is
	// put aside. No server has it in its name.
	asidePrefix = "aside:"
)

// proof is what has to be shown for a login that is put aside.
type proof struct {
	Code    string    `json:"code"` // its digest
	Guesses int       `json:"guesses"`
	Taken   bool      `json:"taken,omitempty"` // the code was given: it holds once
	Until   time.Time `json:"until"`
}

// good says whether a code may still be given.
func (p *proof) good(now time.Time) bool {
	return p != nil && !p.Taken && p.Guesses < maxGuesses && now.Before(p.Until)
}

var (
	// errProof says that there is a login of the caller whose code was not given yet.
	errProof = errors.New("the code of a login has to be given")
	// errAside says that there is no such login, or not any more.
	errAside = errors.New("no login waits for a code")
)

// wrongCode is the error of a code that is not the one.
type wrongCode struct{ left int }

func (e *wrongCode) Error() string { return fmt.Sprintf("not the code, %d guesses are left", e.left) }

// proves says whether a login has to be proven by a code: its page asked for no
// password, and there is somebody whom it is for.
func (l link) proves() bool { return !l.Proven && l.Principal != "" }

// asks says whether a caller will be shown a code when it logs in.
func (s *Server) asks(principal string) bool {
	return principal != "" && !(strings.HasPrefix(principal, "user:") && s.broker.o.Passwords() != nil)
}

// aside is the key of the row of what is put aside.
func (s *Server) aside() string { return rowOf(asidePrefix+s.name, s.url) }

// putAside keeps what a login gave until its code is given, which it returns.
func (s *Server) putAside(ctx context.Context, who string, c credential) (string, error) {
	code := rand.Text()[:codeLength]
	c.Proof = &proof{Code: digest(code), Until: s.broker.o.Now().Add(proofTTL)}
	was, err := s.broker.vault.replace(ctx, who, s.aside(), c)
	if err != nil {
		return "", err
	}
	if was.Proof == nil || !was.Proof.Taken { // else it is the caller's, and may be in use
		s.supersede(ctx, who, was, c)
	}
	s.broker.wake()
	return code[:codeLength/2] + "-" + code[codeLength/2:], nil
}

// waiting says whether somebody has a login that waits for its code.
func (s *Server) waiting(ctx context.Context, who string) bool {
	if s.cfg.Type != "oauth" {
		return false
	}
	k, err := s.broker.vault.load(ctx, who, s.aside())
	return err == nil && k.Proof.good(s.broker.o.Now())
}

// redeem takes the code of a login, which then is the caller's. Each guess is
// written down before anybody hears what came of it, so that replicas together let
// no more than maxGuesses through.
func (s *Server) redeem(ctx context.Context, who, code string) error {
	vault := s.broker.vault
	for range maxTries {
		k, err := vault.load(ctx, who, s.aside())
		switch {
		case errors.Is(err, store.ErrNotFound):
			return errAside
		case err != nil:
			s.log.ErrorContext(ctx, "login that waits for its code cannot be read", "principal", who, "err", err)
			return s.unavailable("your login cannot be read now; try again later")
		case !k.Proof.good(s.broker.o.Now()):
			s.dropAside(ctx, who, k)
			return errAside
		}
		k.Proof.Taken = same(digest(codeOf(code)), k.Proof.Code)
		k.Proof.Guesses++
		k, err = vault.save(ctx, who, s.aside(), k)
		switch {
		case errors.Is(err, store.ErrConflict):
			continue // somebody else has guessed, or logged in
		case err != nil:
			s.log.ErrorContext(ctx, "guess at the code of a login cannot be written", "principal", who, "err", err)
			return s.unavailable("your login cannot be kept now; try again later")
		case !k.Proof.Taken:
			s.log.WarnContext(ctx, "wrong code for a login at the server", "principal", who)
			if k.Proof.Guesses >= maxGuesses {
				s.dropAside(ctx, who, k)
			}
			return &wrongCode{maxGuesses - k.Proof.Guesses}
		}
		return s.adopt(ctx, who, k)
	}
	return s.unavailable("too many guesses at once; try again")
}

// codeOf is a code as it was made, however it was typed: 0 and 1 are not among its
// characters, O and I are.
func codeOf(typed string) string {
	return strings.NewReplacer(" ", "", "-", "", "0", "O", "1", "I").Replace(strings.ToUpper(strings.TrimSpace(typed)))
}

// adopt makes what was put aside the caller's.
func (s *Server) adopt(ctx context.Context, who string, k kept) error {
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	c := k.credential
	c.Proof = nil
	if err := s.keep(keeping, who, c); err != nil {
		s.log.ErrorContext(ctx, "login cannot be kept", "principal", who, "err", err)
		return s.unavailable("your login cannot be kept now; log in again")
	}
	if err := s.broker.keeper.Load().State.Credentials.Remove(keeping, who, s.aside()); err != nil {
		s.log.WarnContext(ctx, "login that was put aside cannot be removed, it is not used any more", "principal", who, "err", err)
	}
	return nil
}

// keep writes down what a login gave, and tells those who wait for it.
func (s *Server) keep(ctx context.Context, who string, c credential) error {
	was, err := s.broker.vault.replace(ctx, who, rowOf(s.name, s.url), c)
	if err != nil {
		return err
	}
	s.supersede(ctx, who, was, c)
	if own, ok := s.source.(*personal); ok {
		own.forget(who)
	}
	s.log.InfoContext(ctx, "caller has logged in at the server", "principal", who)
	s.broker.tell(s.name)
	return nil
}

// dropAside forgets a login whose code was not given, and gives it back.
func (s *Server) dropAside(ctx context.Context, who string, k kept) {
	dropping, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := s.broker.keeper.Load().State.Credentials.Remove(dropping, who, s.aside()); err != nil && !errors.Is(err, store.ErrNotFound) {
		s.log.WarnContext(ctx, "login whose code was not given cannot be removed, it is not used", "principal", who, "err", err)
	}
	if k.Proof != nil && !k.Proof.Taken { // else it has become the caller's
		s.takeBackLater(ctx, who, k.credential)
	}
}

// isLoginTool says whether a call is one of the tool that logs in.
func (s *Server) isLoginTool(req *mcp.Request) bool {
	return s.cfg.Type == "oauth" && req.Method == "tools/call" && req.Name == LoginTool
}

// codeIn gives the code that a call has brought; empty if it has none.
func (s *Server) codeIn(req *mcp.Request, answer *waited) string {
	if answer != nil && answer.code != "" {
		return answer.code
	}
	if !s.isLoginTool(req) {
		return ""
	}
	arguments, _ := jsonrpc.Split(req.Params.Get("arguments"))
	code, _ := arguments.String("code")
	return code
}

// unproven answers a call with a code that does not do, or that waits for one.
func (s *Server) unproven(ctx context.Context, req *mcp.Request, who string, why error) (mcp.Result, error) {
	var wrong *wrongCode
	text := "Your browser shows a code at the end of the login at " + s.name + ". Give it here, so that the login is known to be yours."
	switch {
	case errors.As(why, &wrong) && wrong.left > 0:
		text = fmt.Sprintf("That is not the code that your browser shows; %d more may be tried. ", wrong.left) + text
	case errors.As(why, &wrong), errors.Is(why, errAside):
		return s.begin(ctx, req, who, "No login at "+s.name+" waits for that code, or too many wrong ones were tried. Log in again.")
	case !errors.Is(why, errProof):
		return mcp.Result{}, why
	}
	if s.isLoginTool(req) {
		return failedResult(text + " Call this tool with it as code."), nil
	}
	if req.Client == nil || !req.Client.Kinds.Has(mcp.ElicitForm) || !mcp.MayAsk(req.Method) {
		return mcp.Result{}, mcp.Errorf(mcp.CodeUnauthenticated, "%s Call the tool %s of %s with it as code, then try again.", text, LoginTool, s.name)
	}
	schema := map[string]any{
		"type": "object", "required": []string{"code"},
		"properties": map[string]any{"code": map[string]any{"type": "string", "title": "Code that the browser shows", "minLength": codeLength, "maxLength": 4 * codeLength}},
	}
	asked := map[string]any{"method": "elicitation/create", "params": map[string]any{"mode": "form", "message": text, "requestedSchema": schema}}
	return s.inputRequired(req, waited{Since: s.since(ctx, who)}, asked), nil
}

// begin asks for a login anew, and says why.
func (s *Server) begin(ctx context.Context, req *mcp.Request, who, why string) (mcp.Result, error) {
	if !s.isLoginTool(req) {
		return s.ask(ctx, req, who, held{})
	}
	link, err := s.broker.Link(ctx, s.name, mcp.PrincipalOf(ctx))
	if err != nil {
		return mcp.Result{}, s.unavailable("you have to log in for it, and the gateway cannot give you a link to do so")
	}
	return failedResult(why + "\n\n" + howTo(link, s.asks(mcp.PrincipalOf(ctx).ID))), nil
}

// since is when the token was got that somebody has, in the unit of waited; 0 if
// there is none.
func (s *Server) since(ctx context.Context, who string) int64 {
	if h, err := s.source.token(ctx, who); err == nil && !h.obtained.IsZero() {
		return h.obtained.UnixMicro()
	}
	return 0
}

// howTo says what to do with a link.
func howTo(link string, code bool) string {
	if code {
		return "Open this link in your browser, within ten minutes, and log in. Then call this tool again, with the code that the browser shows at the end as code:\n" + link
	}
	return "Open this link in your browser, within ten minutes, then list the tools again:\n" + link
}

func failedResult(text string) mcp.Result {
	return mcp.RawResult(mustJSON(map[string]any{
		"resultType": "complete", "isError": true, "content": []any{map[string]any{"type": "text", "text": text}},
	}))
}

// inputRequired asks the caller something, and has the call come again with what it
// had brought for the server.
func (s *Server) inputRequired(req *mcp.Request, state waited, asked map[string]any) mcp.Result {
	state.State, state.Responses = req.Params.Get("requestState"), req.Params.Get("inputResponses")
	return mcp.RawResult(mustJSON(map[string]any{
		"resultType": "input_required", "inputRequests": map[string]any{question: asked}, "requestState": state.text(),
	}))
}

// codeFrom gives the code in the answer to our question.
func codeFrom(given jsonrpc.Object) string {
	content, _ := jsonrpc.Split(given.Get("content"))
	code, _ := content.String("code")
	return code
}
