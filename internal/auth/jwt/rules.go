package jwt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxLeeway is the most that the clocks of issuer and gateway may differ.
const MaxLeeway = time.Minute

// Rules are what is demanded of the claims of an access token.
type Rules struct {
	// Issuer must be iss, to the letter (RFC 9207, 2.4; RFC 8414, 3.3).
	Issuer string
	// Audience says whether a value of aud means us; one value must (RFC 8707, 2).
	Audience func(string) bool
	// Types are the accepted typ, without "application/", in lower case; "" is a
	// token that says none. Empty means at+jwt only (RFC 9068, 4).
	Types []string
	// Leeway is for clocks that differ, at most MaxLeeway.
	Leeway time.Duration
}

// idTokenClaims mark tokens that are not meant to give access: those of OpenID
// Connect that tell a client who logged in, or out.
var idTokenClaims = []string{"nonce", "at_hash", "c_hash", "s_hash", "events"}

// Check says why the claims do not let the holder in at this moment, or nothing.
// The signature must have been verified before.
func (r Rules) Check(t *Token, now time.Time) error {
	if err := r.kind(t); err != nil {
		return err
	}
	if _, ok := t.Claims["exp"]; !ok {
		return errors.New("token does not say when it expires")
	}
	return r.claims(t.Claims, now)
}

// CheckAnswer is Check for what an issuer answers about a token that it was asked
// about (RFC 7662, 2.2). Besides it must say that the token is active and a bearer's:
// what it says of its refresh tokens has no such type. It need not say that it is the
// issuer, nor when the token expires, since it was asked just now.
func (r Rules) CheckAnswer(c Claims, now time.Time) error {
	if string(c["active"]) != "true" {
		return errors.New("issuer does not say that the token is active")
	}
	if kind, _ := c.Text("token_type"); !strings.EqualFold(kind, "bearer") {
		return fmt.Errorf("token_type is %q, want Bearer", kind)
	}
	for name, want := range map[string][]string{"token_use": {"access_token", "access"}, "typ": {"at+jwt", "bearer", "access_token"}} {
		if use, ok := c[name]; ok {
			if text, _ := c.Text(name); !slices.Contains(want, strings.ToLower(text)) {
				return fmt.Errorf("%s is %.50s, which is no access token", name, use)
			}
		}
	}
	if _, ok := c["iss"]; !ok {
		r.Issuer = ""
	}
	return r.claims(c, now)
}

// claims checks what is the same for all tokens. An empty issuer is not compared.
func (r Rules) claims(c Claims, now time.Time) error {
	if iss, _ := c.Text("iss"); iss != r.Issuer {
		return fmt.Errorf("issuer is %q, not %q", iss, r.Issuer)
	}
	if sub, _ := c.Text("sub"); sub == "" {
		return errors.New("token names no subject")
	}
	aud, _ := c.Texts("aud")
	if !slices.ContainsFunc(aud, r.Audience) {
		return fmt.Errorf("audience is %q, which is not this gateway", aud)
	}
	// A token that is bound to a key of its holder is not good without a proof of
	// that (RFC 7800, 3; RFC 8705, 3; RFC 9449, 6), which nobody checks here.
	if _, bound := c["cnf"]; bound {
		return errors.New("token is bound to a key (cnf), which is not supported: have the issuer give bearer tokens")
	}
	return r.times(c, now)
}

// kind lets access tokens pass. Other tokens of the same issuer have the same
// signature, and the audience alone does not always tell them apart.
func (r Rules) kind(t *Token) error {
	typ := strings.TrimPrefix(strings.ToLower(t.Type), "application/")
	types := r.Types
	if len(types) == 0 {
		types = []string{"at+jwt"}
	}
	if !slices.Contains(types, typ) {
		return fmt.Errorf("type of token is %q, want one of %q", t.Type, types)
	}
	if typ == "at+jwt" {
		return nil
	}
	for _, name := range idTokenClaims {
		if _, ok := t.Claims[name]; ok {
			return fmt.Errorf("token has the claim %s and is not an access token", name)
		}
	}
	return nil
}

func (r Rules) times(c Claims, now time.Time) error {
	leeway := min(max(r.Leeway, 0), MaxLeeway)
	exp, err := c.Time("exp")
	if err != nil {
		return err
	}
	if !exp.IsZero() && !now.Before(exp.Add(leeway)) {
		return fmt.Errorf("token expired at %s", exp.UTC().Format(time.RFC3339))
	}
	for _, name := range []string{"nbf", "iat"} {
		from, err := c.Time(name)
		if err != nil {
			return err
		}
		if now.Add(leeway).Before(from) {
			return fmt.Errorf("token is of the future: %s is %s", name, from.UTC().Format(time.RFC3339))
		}
	}
	return nil
}
