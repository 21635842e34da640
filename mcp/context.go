package mcp

import "context"

// A context carries two values through the house: who calls, and the id under
// which the call is logged.
type contextKey int

const (
	principalKey contextKey = iota
	requestIDKey
)

// Principal is who calls, as established by authentication.
type Principal struct {
	// ID is unique and stable: sessions, parked calls and caches are bound to
	// it. Empty means that nobody was asked (loopback without authentication).
	ID string
	// Name is what people call it; empty means ID.
	Name string
	// Roles are what it may be, by names that the policy knows; a role says nothing by itself.
	Roles []string
	// Groups are those that its identity provider put it into.
	Groups []string
	// Servers are the names of the servers that its credentials are bound to; nil means that they are not bound.
	Servers []string
	// Method is how it proved who it is, for logs and policies: token, key, jwt, mtls or password.
	Method string
}

// principalContext carries a principal, in one piece of memory with it.
type principalContext struct {
	context.Context
	principal Principal
}

// Value implements context.Context.
func (c *principalContext) Value(key any) any {
	if AsksForPrincipal(key) {
		return &c.principal
	}
	return c.Context.Value(key)
}

// WithPrincipal returns a context whose calls are made by p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return &principalContext{ctx, p}
}

// AsksForPrincipal reports whether it is the principal that a context is asked for
// by key. It is for contexts that hold one themselves: their Value returns a
// *Principal then, which nobody changes any more.
func AsksForPrincipal(key any) bool { return key == principalKey }

// PrincipalOf returns who makes the call of ctx; the zero Principal if nobody was asked.
func PrincipalOf(ctx context.Context) Principal {
	if p, ok := ctx.Value(principalKey).(*Principal); ok {
		return *p
	}
	return Principal{}
}

// requestContext carries a request's id: what context.WithValue gives, with the
// id in the same piece of memory.
type requestContext struct {
	context.Context
	id string
}

// Value implements context.Context.
func (c *requestContext) Value(key any) any {
	if key == requestIDKey {
		return c
	}
	return c.Context.Value(key)
}

// WithRequestID returns a context whose call is logged under id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return &requestContext{Context: ctx, id: id}
}

// RequestIDOf returns the id under which the call of ctx is logged; empty if it has none.
func RequestIDOf(ctx context.Context) string {
	c, _ := ctx.Value(requestIDKey).(*requestContext)
	if c == nil {
		return ""
	}
	return c.id
}
