package credential

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// Paths of the pages, below the gateway's address.
const (
	PathLogin    = "/oauth/login"
	PathCallback = "/oauth/callback"
	PathClient   = "/oauth/client.json"
)

// What is sealed, by what it is for: one is never taken for another.
const (
	sealLink = "credential/link"
	sealForm = "credential/form"
	sealFlow = "credential/flow"
)

const (
	// linkTTL is how long a link is good for, and again how long a login may take.
	linkTTL = 10 * time.Minute
	// maxSealed is the most characters that are looked at: browsers keep cookies of
	// up to 4 KiB.
	maxSealed = 3900
)

// link is what is in a link: who was asked to log in where. It holds once.
type link struct {
	Server    string    `json:"s"`
	Principal string    `json:"p"`
	Scopes    []string  `json:"o,omitempty"`
	Nonce     string    `json:"n"`
	Until     time.Time `json:"u"`
	Browser   string    `json:"b,omitempty"` // digest of a cookie, once a browser has opened it
	As        int64     `json:"a,omitempty"` // when the local user who gave the password had been changed last, in nanoseconds since 1970
	Proven    bool      `json:"k,omitempty"` // it is known otherwise than by a code that who logs in is the principal
}

// flow is a login under way, which the browser carries in a cookie.
type flow struct {
	Link     link      `json:"l"`
	State    string    `json:"s"`
	Verifier string    `json:"v"`
	Issuer   string    `json:"i"`
	TellsIss bool      `json:"t,omitempty"`
	Token    string    `json:"k"`
	Revoke   string    `json:"r,omitempty"`
	Methods  []string  `json:"m,omitempty"`
	Resource string    `json:"a"`
	Scopes   []string  `json:"o,omitempty"`
	ClientID string    `json:"c"`
	URL      string    `json:"w"` // of the server: the token is for this one
	Callback string    `json:"b"`
	Until    time.Time `json:"u"`
}

var (
	errSealed = errors.New("it was not made here, or was changed")
	errNoBase = errors.New("the gateway has no address for browsers: run dragoman serve, and set public_url if it is reached by another address than it listens at")
)

// Link makes a link where a principal can log in at a server.
func (b *Broker) Link(ctx context.Context, server string, p mcp.Principal) (string, error) {
	return b.link(ctx, server, p, false)
}

// VouchedLink makes a link of whose bearer the operator says that it is the
// principal: no code is asked for at the end.
func (b *Broker) VouchedLink(ctx context.Context, server string, p mcp.Principal) (string, error) {
	return b.link(ctx, server, p, true)
}

func (b *Broker) link(ctx context.Context, server string, p mcp.Principal, proven bool) (string, error) {
	base := b.o.Base()
	if base == "" {
		return "", errNoBase
	}
	l := link{Server: server, Principal: p.ID, Nonce: newID(), Until: b.o.Now().Add(linkTTL), Proven: proven}
	if s := b.find(server); s != nil {
		if own, ok := s.source.(*personal); ok {
			l.Scopes = own.wanted(ctx, whoIs(p.ID))
		}
	}
	sealed, err := b.seal(ctx, sealLink, l)
	if err != nil {
		return "", err
	}
	return base + PathLogin + "?" + url.Values{"link": {sealed}}.Encode(), nil
}

func (b *Broker) seal(ctx context.Context, what string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sealed, err := b.keeper.Load().Sealer.Seal(ctx, what, plain)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(sealed)
	if len(text) > maxSealed {
		return "", errors.New("what the browser has to carry is too long")
	}
	return text, nil
}

func (b *Broker) open(ctx context.Context, what, text string, v any) error {
	if len(text) > maxSealed {
		return errSealed
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return errSealed
	}
	plain, err := b.keeper.Load().Sealer.Open(ctx, what, sealed)
	if err != nil || json.Unmarshal(plain, v) != nil {
		return errSealed
	}
	return nil
}

// secure says whether browsers reach the gateway by https.
func (b *Broker) secure() bool { return strings.HasPrefix(b.o.Base(), "https://") }

// newID is a random text that nobody can guess.
func newID() string { return rand.Text() }

// newVerifier is a code verifier (RFC 7636, 4.1), and its challenge.
func newVerifier() (verifier, challenge string) {
	verifier = rand.Text() + rand.Text()
	return verifier, digest(verifier)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// same compares in a time that does not tell where the difference is.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
