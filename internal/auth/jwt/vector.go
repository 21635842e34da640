package jwt

import (
	"encoding/json"
	"fmt"
)

// VerifyVector checks a signature by itself: the payload need not be claims, and a
// shared secret comes as a JWK and may be a weak one. It is for vectors of tests;
// no token of a caller goes this way.
func VerifyVector(jwk []byte, raw string) error {
	t, _, err := split(raw)
	if err != nil {
		return err
	}
	k, err := ParseKey(jwk)
	if err != nil {
		var oct struct{ Kty, Alg, K, Kid string }
		if json.Unmarshal(jwk, &oct) != nil || oct.Kty != "oct" {
			return err
		}
		plain, err := decode(oct.K)
		if err != nil {
			return err
		}
		k = Key{ID: oct.Kid, Algorithm: oct.Alg, public: secret(plain)}
	}
	if t.KeyID != "" && k.ID != "" && t.KeyID != k.ID {
		return fmt.Errorf("token is of key %q, not %q", t.KeyID, k.ID)
	}
	return k.Verify(t)
}
