package jwt

import (
	"encoding/json"
	"fmt"
)

// VerifyVector checks a signature whose payload need not be claims.
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
