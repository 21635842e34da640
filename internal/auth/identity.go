package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// Identity is a caller who has proven who it is, and the bounds of the
// credential that it did so with.
type Identity struct {
	Principal mcp.Principal
	// Audience are the resources that the credential is for (RFC 8707), of which
	// the address that is called has to be one. Nil means everything here.
	Audience []string
	// Expires is until when the credential holds; zero if it does not end.
	Expires time.Time
	// TokenID and KeyID say which token it was and what it was signed with, for
	// who revokes them; they may be empty.
	TokenID, KeyID string
	// Issued is when the credential was given; zero if that is not known.
	Issued time.Time
}

// Source knows one kind of credential. It may be used concurrently.
type Source interface {
	// Identify says who holds a credential. ErrForeign means that it is of
	// another kind, and the next source is asked; ErrInvalid that it is of this
	// kind and does not hold; a *ScopeError that it holds and is not enough. Any
	// other error means that it cannot be said now, and the caller may come again.
	Identify(ctx context.Context, credential string) (Identity, error)
}

// Revoker is a Source whose credentials may end before they expire.
type Revoker interface {
	Source
	// Holds says whether an identity that was given before is still good. It is
	// asked for every request and must not wait.
	Holds(Identity) bool
}

// Certificates knows clients by their certificates.
type Certificates interface {
	// IdentifyTLS says who is at the other end. ErrForeign means that it has shown
	// no certificate.
	IdentifyTLS(state *tls.ConnectionState) (Identity, error)
}

var (
	// ErrForeign is a credential of another kind.
	ErrForeign = errors.New("credential is of another kind")
	// ErrInvalid is a credential that does not let its holder in. What it wraps
	// is for the log; callers are not told which check it was.
	ErrInvalid = errors.New("credential is not valid")
)

// Invalid returns an error that is ErrInvalid and says why.
func Invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// ScopeError is a credential that was not given for this.
type ScopeError struct {
	// Need are all scopes that are needed.
	Need []string
}

func (e *ScopeError) Error() string {
	return "credential has not all of the scopes " + strings.Join(e.Need, " ")
}
