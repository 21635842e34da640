package as

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// What is sealed, by what it is for: one is never taken for another.
const (
	sealLogin   = "oauth/login"
	sealConsent = "oauth/consent"
	sealCode    = "oauth/code"
)

// maxSealed is the most characters that are looked at.
const maxSealed = 16 << 10

var errSealed = errors.New("it was not made here, or was changed")

func (s *Server) seal(ctx context.Context, what string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", what, err)
	}
	sealed, err := s.o.Sealer.Seal(ctx, what, plain)
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", what, err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

func (s *Server) open(ctx context.Context, what, text string, v any) error {
	if len(text) > maxSealed {
		return errSealed
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return errSealed
	}
	plain, err := s.o.Sealer.Open(ctx, what, sealed)
	if err != nil {
		return errSealed
	}
	return json.Unmarshal(plain, v)
}
