package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
)

func newSigner(t testing.TB, alg string) *jwt.Signer {
	t.Helper()
	der, err := jwt.NewPrivateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jwt.NewSigner(der)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

var now = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

func rules() jwt.Rules {
	return jwt.Rules{Issuer: "https://as.example", Audience: func(s string) bool { return s == "https://gw.example/mcp" }, Leeway: 30 * time.Second}
}

func claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": "https://as.example", "sub": "alice", "aud": "https://gw.example/mcp", "iat": now.Unix() - 10,
		"exp": now.Unix() + 300, "scope": "mcp files", "realm_access": map[string]any{"roles": []string{"a", "b"}},
	}
	for k, v := range change {
		if v == nil {
			delete(c, k)
			continue
		}
		c[k] = v
	}
	return c
}

func TestTokensOfOursAreRead(t *testing.T) {
	for _, alg := range []string{"EdDSA", "ES256"} {
		s := newSigner(t, alg)
		raw, err := s.Sign("at+jwt", claims(nil))
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Parse(raw)
		if err != nil {
			t.Fatalf("Parse(%s): %v", raw, err)
		}
		keys, err := jwt.ParseKeys([]byte(`{"keys":[` + string(s.JWK()) + `]}`))
		if err != nil {
			t.Fatalf("ParseKeys(%s): %v", s.JWK(), err)
		}
		for _, k := range append(keys, s.Key()) {
			if err := k.Verify(token); err != nil || k.ID != token.KeyID {
				t.Errorf("%s: key %q does not verify the token of %q: %v", alg, k.ID, token.KeyID, err)
			}
		}
		if err := newSigner(t, alg).Key().Verify(token); err == nil {
			t.Errorf("%s: another key verifies the token", alg)
		}
		if err := rules().Check(token, now); err != nil {
			t.Errorf("%s: Check: %v", alg, err)
		}
		if got, _ := token.Claims.At("realm_access.roles"); strings.Join(got, " ") != "a b" {
			t.Errorf("At(realm_access.roles) = %q, want a b", got)
		}
		if got := token.Claims.Scopes(); strings.Join(got, " ") != "mcp files" {
			t.Errorf("Scopes() = %q, want mcp files", got)
		}
	}
}

func TestClaimsThatDoNotLetIn(t *testing.T) {
	s := newSigner(t, "EdDSA")
	for _, c := range []struct {
		name   string
		typ    string
		change map[string]any
		want   string // part of the error; empty when it lets in
	}{
		{"all right", "at+jwt", nil, ""},
		{"the long form of the type", "application/AT+JWT", nil, ""},
		{"a list of audiences with ours", "at+jwt", map[string]any{"aud": []string{"x", "https://gw.example/mcp"}}, ""},
		{"another audience", "at+jwt", map[string]any{"aud": "https://gw.example"}, "audience"},
		{"an audience that begins like ours", "at+jwt", map[string]any{"aud": "https://gw.example/mcp/"}, "audience"},
		{"a list with something else in it", "at+jwt", map[string]any{"aud": []any{"https://gw.example/mcp", 1}}, "audience"},
		{"no audience", "at+jwt", map[string]any{"aud": nil}, "audience"},
		{"an empty list of audiences", "at+jwt", map[string]any{"aud": []string{}}, "audience"},
		{"another issuer", "at+jwt", map[string]any{"iss": "https://as.example/"}, "issuer"},
		{"an issuer in other case", "at+jwt", map[string]any{"iss": nil, "ISS": "https://as.example"}, "issuer"},
		{"no subject", "at+jwt", map[string]any{"sub": nil}, "subject"},
		{"an empty subject", "at+jwt", map[string]any{"sub": ""}, "subject"},
		{"a subject that is a number", "at+jwt", map[string]any{"sub": 7}, "subject"},
		{"no expiry", "at+jwt", map[string]any{"exp": nil}, "expires"},
		{"expiry null", "at+jwt", map[string]any{"exp": json.RawMessage("null")}, "exp is not a time"},
		{"expiry as text", "at+jwt", map[string]any{"exp": "9999999999"}, "exp is not a time"},
		{"expiry beyond counting", "at+jwt", map[string]any{"exp": 1e300}, "exp is not a time"},
		{"expiry negative", "at+jwt", map[string]any{"exp": -1}, "exp is not a time"},
		{"expired within the leeway", "at+jwt", map[string]any{"exp": now.Unix() - 29}, ""},
		{"expired beyond the leeway", "at+jwt", map[string]any{"exp": now.Unix() - 30}, "expired"},
		{"not yet, within the leeway", "at+jwt", map[string]any{"nbf": now.Unix() + 30}, ""},
		{"not yet", "at+jwt", map[string]any{"nbf": now.Unix() + 31}, "nbf"},
		{"issued in the future", "at+jwt", map[string]any{"iat": now.Unix() + 31}, "iat"},
		{"issued at some word", "at+jwt", map[string]any{"iat": "now"}, "iat"},
		{"another type", "JWT", nil, "type"},
		{"no type", "", nil, "type"},
		{"an ID token", "id+jwt", nil, "type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, err := s.Sign(c.typ, claims(c.change))
			if err != nil {
				t.Fatal(err)
			}
			token, err := jwt.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			err = rules().Check(token, now)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("Check(%v) = %v, want an error with %q", claims(c.change), err, c.want)
			}
		})
	}
}

func TestIDTokensAreNoAccessTokens(t *testing.T) {
	s := newSigner(t, "ES256")
	r := rules()
	r.Types = []string{"at+jwt", "jwt", ""}
	for _, name := range []string{"nonce", "at_hash", "events"} {
		raw, err := s.Sign("JWT", claims(map[string]any{name: "x"}))
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check(token, now); err == nil {
			t.Errorf("a token with %s and type JWT is let in", name)
		}
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	body := b64(`{"sub":"alice"}`)
	signature := b64("signature")
	for _, c := range []struct{ name, raw, want string }{
		{"none", b64(`{"alg":"none"}`) + "." + body + ".", "algorithm"},
		{"none in capitals", b64(`{"alg":"NONE"}`) + "." + body + ".", "algorithm"},
		{"no algorithm", b64(`{"typ":"at+jwt"}`) + "." + body + "." + signature, "algorithm"},
		{"an algorithm in other case", b64(`{"Alg":"EdDSA"}`) + "." + body + "." + signature, "algorithm"},
		{"an algorithm that is a list", b64(`{"alg":["EdDSA"]}`) + "." + body + "." + signature, "not text"},
		{"two algorithms", b64(`{"alg":"EdDSA","alg":"HS256"}`) + "." + body + "." + signature, "twice"},
		{"two algorithms, one escaped", b64(`{"alg":"EdDSA","\u0061lg":"HS256"}`) + "." + body + "." + signature, "twice"},
		{"its own key", b64(`{"alg":"EdDSA","jwk":{}}`) + "." + body + "." + signature, "jwk"},
		{"an address of keys", b64(`{"alg":"EdDSA","jku":"https://evil"}`) + "." + body + "." + signature, "jku"},
		{"an address of certificates", b64(`{"alg":"EdDSA","x5u":"https://evil"}`) + "." + body + "." + signature, "x5u"},
		{"a certificate", b64(`{"alg":"EdDSA","x5c":["MII"]}`) + "." + body + "." + signature, "x5c"},
		{"an extension that must be understood", b64(`{"alg":"EdDSA","crit":["exp"],"exp":1}`) + "." + body + "." + signature, "crit"},
		{"an empty crit", b64(`{"alg":"EdDSA","crit":[]}`) + "." + body + "." + signature, "crit"},
		{"a payload that is not encoded", b64(`{"alg":"EdDSA","b64":false}`) + "." + body + "." + signature, "b64"},
		{"compressed", b64(`{"alg":"EdDSA","zip":"DEF"}`) + "." + body + "." + signature, "zip"},
		{"encrypted", b64(`{"alg":"dir","enc":"A128GCM"}`) + ".a.b.c.d", "parts"},
		{"two subjects", b64(`{"alg":"EdDSA"}`) + "." + b64(`{"sub":"alice","sub":"root"}`) + "." + signature, "twice"},
		{"two roles deep inside", b64(`{"alg":"EdDSA"}`) + "." + b64(`{"a":[{"b":{"r":1,"r":2}}]}`) + "." + signature, "twice"},
		{"a payload that is a list", b64(`{"alg":"EdDSA"}`) + "." + b64(`[]`) + "." + signature, "object"},
		{"a payload that is null", b64(`{"alg":"EdDSA"}`) + "." + b64(`null`) + "." + signature, "object"},
		{"two payloads", b64(`{"alg":"EdDSA"}`) + "." + b64(`{}{}`) + "." + signature, "object"},
		{"a payload that is not UTF-8", b64(`{"alg":"EdDSA"}`) + "." + b64("{\"sub\":\"\xff\"}") + "." + signature, "UTF-8"},
		{"a deep payload", b64(`{"alg":"EdDSA"}`) + "." + b64(strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40)) + "." + signature, "deeper"},
		{"a line end", b64(`{"alg":"EdDSA"}`) + "\n." + body + "." + signature, "line"},
		{"padding", b64(`{"alg":"EdDSA"}`) + "." + body + "." + signature + "==", "base64url"},
		{"the alphabet of others", b64(`{"alg":"EdDSA"}`) + "." + body + ".+/+/", "base64url"},
		{"stray bits", b64(`{"alg":"EdDSA"}`) + "." + body + ".QQR", "base64url"},
		{"too long", b64(`{"alg":"EdDSA"}`) + "." + body + "." + strings.Repeat("A", jwt.MaxToken), "more than"},
		{"many parts", strings.Repeat(".", 8000), "parts"},
		{"nothing", "", "parts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := jwt.Parse(c.raw); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse(%.200s) = %v, want an error with %q", c.raw, err, c.want)
			}
		})
	}
}

func TestPublicKeysAreNoSecrets(t *testing.T) {
	s := newSigner(t, "ES256")
	raw := b64(`{"alg":"HS256","kid":"`+s.ID()+`"}`) + "." + b64(`{"sub":"root"}`) + "." + b64("x")
	token, err := jwt.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if s.Key().Fits("HS256") || s.Key().Verify(token) == nil {
		t.Error("a public key checks HS256, want it only for ES256")
	}
	if _, err := jwt.ParseKey([]byte(`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","alg":"HS256"}`)); err == nil {
		t.Error("a secret in a published key set is taken, want it left out")
	}
}

func TestKeysThatAreLeftOut(t *testing.T) {
	good := string(newSigner(t, "EdDSA").JWK())
	for name, bad := range map[string]string{
		"for encryption":                  strings.Replace(good, `"sig"`, `"enc"`, 1),
		"with a use that is a list":       strings.Replace(good, `"sig"`, `["sig"]`, 1),
		"whose operations are others":     strings.Replace(good, `"use"`, `"key_ops":["sign"],"use"`, 1),
		"whose operations are none":       strings.Replace(good, `"use"`, `"key_ops":[],"use"`, 1),
		"with another kind's algorithm":   strings.Replace(good, `EdDSA`, `ES256`, 1),
		"with an algorithm of encryption": strings.Replace(good, `EdDSA`, `RSA-OAEP`, 1),
		"on another curve":                strings.Replace(good, `Ed25519`, `X25519`, 1),
		"a short RSA key":                 `{"kty":"RSA","n":"` + b64(strings.Repeat("\xff", 128)) + `","e":"AQAB"}`,
		"an RSA key with exponent 1":      `{"kty":"RSA","n":"` + b64(strings.Repeat("\xff", 256)) + `","e":"AQ"}`,
		"an RSA key that is even":         `{"kty":"RSA","n":"` + b64(strings.Repeat("\xfe", 256)) + `","e":"AQAB"}`,
		"an RSA key beyond measure":       `{"kty":"RSA","n":"` + b64(strings.Repeat("\xff", 2048)) + `","e":"AQAB"}`,
		"a point that is on no curve":     `{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("\x01", 32)) + `","y":"` + b64(strings.Repeat("\x01", 32)) + `"}`,
		"a point with a short coordinate": `{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}`,
	} {
		if k, err := jwt.ParseKey([]byte(bad)); err == nil {
			t.Errorf("a key %s is taken as %+v: %s", name, k, bad)
		}
		keys, err := jwt.ParseKeys([]byte(`{"keys":[` + bad + `,` + good + `]}`))
		if err != nil || len(keys) != 1 {
			t.Errorf("a set with a key %s gives %d keys, %v; want the good one", name, len(keys), err)
		}
	}
	if _, err := jwt.ParseKeys([]byte(`{"keys":[` + strings.Repeat(good+",", 100) + good + `]}`)); err == nil {
		t.Error("a set of 101 keys is taken, want at most 100")
	}
}

func FuzzParse(f *testing.F) {
	s := newSigner(f, "EdDSA")
	raw, err := s.Sign("at+jwt", claims(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(b64(`{"alg":"HS256"}`) + "." + b64(`{"aud":[[]]}`) + ".")
	f.Fuzz(func(t *testing.T, in string) {
		token, err := jwt.Parse(in)
		if err != nil {
			return
		}
		if s.Key().Verify(token) == nil && in != raw {
			t.Errorf("a token that was not signed is verified: %q", in)
		}
		_ = rules().Check(token, now)
		_, _ = token.Claims.At("a.b.c")
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"EdDSA", "ES256"} {
		b.Run(alg, func(b *testing.B) {
			s := newSigner(b, alg)
			raw, err := s.Sign("at+jwt", claims(nil))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				token, err := jwt.Parse(raw)
				if err != nil || s.Key().Verify(token) != nil || rules().Check(token, now) != nil {
					b.Fatal("token is refused")
				}
			}
		})
	}
}
