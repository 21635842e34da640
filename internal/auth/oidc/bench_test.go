package oidc_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/auth/oidc"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

// BenchmarkIdentify says what a token costs when it comes for the first time, and when it comes again.
func BenchmarkIdentify(b *testing.B) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		der, err := jwt.NewPrivateKey(alg)
		if err != nil {
			b.Fatal(err)
		}
		key, err := jwt.NewSigner(der)
		if err != nil {
			b.Fatal(err)
		}
		issuer, err := oidc.New(config.Issuer{Name: "corp", URL: issuerURL, Leeway: 30 * time.Second, Scopes: []string{"mcp"},
			Claims: config.ClaimNames{Name: "preferred_username", Roles: "realm_access.roles", Groups: "groups"}},
			oidc.Options{Client: &http.Client{Transport: newProvider(b, key)}})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = issuer.Run(ctx) })
		token := sign(b, key, nil)
		for name, source := range map[string]auth.Source{"first": issuer, "again": auth.NewCached(issuer, auth.CacheOptions{})} {
			b.Run(alg+", "+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := source.Identify(b.Context(), token); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		stop()
		running.Wait()
	}
}
