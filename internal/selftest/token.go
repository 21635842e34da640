package selftest

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
)

type object = map[string]any

// notOwn is why a corpus is not tried on an instance of somebody else.
const notOwn = "needs an instance that is started for it, without --url and -c"

func header() object { return object{"alg": "HS256", "typ": "at+jwt"} }

func (o *Own) claims() object {
	now := time.Now().Unix()
	return object{"iss": o.Issuer, "aud": o.Audience, "sub": "selftest", "client_id": "selftest", "jti": rand.Text(), "iat": now, "exp": now + 600}
}

// signed makes a token of three parts with an HMAC.
func signed(head, claims any, secret string) string {
	unsigned := part(head) + "." + part(claims)
	digest := sha256.New
	if o, ok := head.(object); ok {
		switch o["alg"] {
		case "HS384":
			digest = sha512.New384
		case "HS512":
			digest = sha512.New
		}
	}
	return unsigned + "." + seal(digest, secret, unsigned)
}

func seal(digest func() hash.Hash, secret, text string) string {
	mac := hmac.New(digest, []byte(secret))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func part(v any) string {
	text, ok := v.(string)
	if !ok {
		b, _ := json.Marshal(v) // maps of texts and numbers can be marshalled
		text = string(b)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func changed(o object, name string, value any) object {
	o = maps.Clone(o)
	if o[name] = value; value == nil {
		delete(o, name)
	}
	return o
}

func (t *Target) bearer(token string) request {
	return t.list("").instead("Authorization", "Bearer "+token)
}

// tokens are those of an attacker who knows everything but the secret.
func tokens(ctx context.Context, t *Target, r *Result) error {
	if t.Own == nil {
		r.Skipped = notOwn
		return nil
	}
	o := t.Own
	good := signed(header(), o.claims(), o.Secret)
	attacks := map[string]request{}
	for name, token := range forged(o, good) {
		attacks[name] = t.bearer(token)
	}
	for name, token := range foreign(o) {
		attacks[name] = t.bearer(token)
	}
	if err := t.each(ctx, r, attacks, turnedAway); err != nil {
		return err
	}
	return t.passes(ctx, r, map[string]request{
		"as it should be": t.bearer(good), "several audiences": t.bearer(signed(header(), changed(o.claims(), "aud", []string{"https://other.example", o.Audience}), o.Secret)),
		"a type with application/": t.bearer(signed(changed(header(), "typ", "application/at+jwt"), o.claims(), o.Secret)),
	})
}

// forged have no signature of the issuer, or one of something else.
func forged(o *Own, good string) map[string]string {
	out := map[string]string{}
	claims := part(o.claims())
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "null", "HS256\x00", "none\x00"} {
		out[fmt.Sprintf("alg %q, no signature", alg)] = part(changed(header(), "alg", alg)) + "." + claims + "."
		out[fmt.Sprintf("alg %q, a signature", alg)] = part(changed(header(), "alg", alg)) + "." + claims + ".c2lnbmF0dXJl"
	}
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"no signature": parts[0] + "." + parts[1] + ".", "two parts": parts[0] + "." + parts[1], "four parts": good + ".x", "five parts": good + "..", "a signature of zeros": parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
		"half a signature": good[:len(good)-20], "padding": good + "=", "white space within": parts[0] + ". " + parts[1] + "." + parts[2], "a newline within": parts[0] + ".\n" + parts[1] + "." + parts[2], "nothing": "", "dots": "..",
		"the header of another": part(changed(header(), "alg", "HS512")) + "." + parts[1] + "." + parts[2], "the claims of another": parts[0] + "." + claims + "." + parts[2],
		"two algorithms": part(`{"alg":"HS256","typ":"at+jwt","alg":"none"}`) + "." + claims + ".", "an algorithm in capitals": part(`{"ALG":"none","alg":"HS256","typ":"at+jwt"}`) + "." + parts[1] + "." + parts[2],
		"JSON serialization": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "16 kB": good[:len(good)-43] + strings.Repeat("a", 16<<10), "many dots": strings.Repeat(".", 4000),
	} {
		out[name] = token
	}
	for _, secret := range []string{"", " ", "\x00", o.Issuer, o.Audience, "null", o.Secret[:len(o.Secret)-1], o.Secret + "\n", swapped(o.Secret)} {
		out[fmt.Sprintf("signed with %.12q", secret)] = signed(header(), o.claims(), secret)
	}
	for name, value := range map[string]any{"kid": "../../../../dev/null", "jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/cert.pem", "x5c": []string{"MIIB"}, "jwk": object{"kty": "oct", "k": ""}, "crit": []string{"exp"}, "zip": "DEF", "b64": false} {
		head := changed(header(), name, value)
		out["header "+name+", secret empty"] = signed(head, o.claims(), "")
		if name != "kid" {
			out["header "+name+", secret right"] = signed(head, o.claims(), o.Secret)
		}
	}
	for _, kid := range []string{"' UNION SELECT ''--", "/dev/null", "|id", "http://127.0.0.1/", "\x00"} {
		out[fmt.Sprintf("kid %q", kid)] = signed(changed(header(), "kid", kid), o.claims(), "")
	}
	return out
}

// foreign have a good signature, and say something that does not hold.
func foreign(o *Own) map[string]string {
	out := map[string]string{}
	now := time.Now().Unix()
	for name, values := range map[string][]any{
		"iss": {nil, "", "https://evil.example", o.Issuer + "/", strings.ToUpper(o.Issuer), []string{o.Issuer}, 1}, "aud": {nil, "", "https://other.example", []string{}, []any{1}, o.Audience + "/../other", object{"a": o.Audience}},
		"exp": {nil, now - 3600, 0, -1, fmt.Sprint(now + 600), "never", 1e300, true}, "nbf": {now + 3600, "tomorrow"}, "iat": {now + 3600}, "sub": {nil, "", 7, []string{"selftest"}},
	} {
		for _, v := range values {
			out[fmt.Sprintf("%s %v", name, v)] = signed(header(), changed(o.claims(), name, v), o.Secret)
		}
	}
	for _, typ := range []any{nil, "JWT", "dpop+jwt", "id_token", "logout+jwt", "secevent+jwt", 1} {
		out[fmt.Sprintf("typ %v", typ)] = signed(changed(header(), "typ", typ), o.claims(), o.Secret)
	}
	for _, alg := range []string{"HS384", "HS512"} { // the issuer's is HS256
		out["alg "+alg] = signed(changed(header(), "alg", alg), o.claims(), o.Secret)
	}
	for _, text := range []string{"[]", "null", "1", `"x"`, "{", `{"iss":"` + o.Issuer + `","iss":"x"}`, "\xff"} {
		out["claims "+text] = signed(header(), text, o.Secret)
	}
	return merge(out, asymmetric(o))
}

// asymmetric are signed with keys of the attacker's, which the token brings along.
func asymmetric(o *Own) map[string]string {
	out := map[string]string{}
	claims := part(o.claims())
	encode := base64.RawURLEncoding.EncodeToString
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		head := part(object{"alg": "EdDSA", "typ": "at+jwt", "jwk": object{"kty": "OKP", "crv": "Ed25519", "x": encode(public)}})
		out["EdDSA with its own key"] = head + "." + claims + "." + encode(ed25519.Sign(private, []byte(head+"."+claims)))
		out["HMAC with a public key"] = signed(header(), o.claims(), string(public))
	}
	if key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
		head := part(object{"alg": "ES256", "typ": "at+jwt"})
		sum := sha256.Sum256([]byte(head + "." + claims))
		if r, s, err := ecdsa.Sign(rand.Reader, key, sum[:]); err == nil {
			out["ES256 of somebody"] = head + "." + claims + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
		}
		out["ES256 of zeros"] = head + "." + claims + "." + encode(make([]byte, 64))
	}
	if key, err := rsa.GenerateKey(rand.Reader, 2048); err == nil {
		head := part(object{"alg": "RS256", "typ": "at+jwt", "jwk": object{"kty": "RSA", "e": "AQAB", "n": encode(key.N.Bytes())}})
		sum := sha256.Sum256([]byte(head + "." + claims))
		if s, err := rsa.SignPKCS1v15(rand.Reader, key, 5, sum[:]); err == nil { // 5 is crypto.SHA256
			out["RS256 with its own key"] = head + "." + claims + "." + encode(s)
		}
	}
	return out
}

func merge(a, b map[string]string) map[string]string {
	maps.Copy(a, b)
	return a
}

// weakTokens are signed with words that somebody would try first.
func weakTokens(ctx context.Context, t *Target, r *Result) error {
	return t.guess(ctx, r, corpus.Secrets())
}

// knownTokens are signed with each secret of a published list. They go to the instance in one connection after the other,
// so that of a long list every hundredth is sent.
func knownTokens(ctx context.Context, t *Target, r *Result) error {
	words, err := t.lines("wallarm/jwt-secrets", "jwt.secrets.list")
	if err != nil || words == nil {
		r.Skipped = notGiven
		return err
	}
	var some []string
	for i := 0; i < len(words); i += 100 {
		some = append(some, words[i])
	}
	return t.guess(ctx, r, some)
}

func (t *Target) guess(ctx context.Context, r *Result, words []string) error {
	if t.Own == nil {
		r.Skipped = notOwn
		return nil
	}
	for _, word := range words {
		a, err := t.send(ctx, t.bearer(signed(header(), t.Own.claims(), word)))
		if err != nil {
			return err
		}
		r.attack(a.status == http.StatusUnauthorized, "signed with %q: %s", word, a)
	}
	return nil
}

// weakSecrets asks whether a configuration may have one.
func weakSecrets(_ context.Context, _ *Target, r *Result) error {
	settle(r, corpus.Secrets())
	for range 200 {
		secret := rand.Text() + strings.ToLower(rand.Text())
		_, err := jwt.SecretKey("HS256", secret)
		r.harmless(err == nil, "random secret %q: %v", secret, err)
	}
	return nil
}

func knownSecrets(_ context.Context, t *Target, r *Result) error {
	words, err := t.lines("wallarm/jwt-secrets", "jwt.secrets.list")
	if err != nil || words == nil {
		r.Skipped = notGiven
		return err
	}
	settle(r, words)
	return nil
}

func settle(r *Result, words []string) {
	for _, word := range words {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			_, err := jwt.SecretKey(alg, word)
			r.attack(err != nil, "%s takes %q", alg, word)
		}
	}
}
