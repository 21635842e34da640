package audit

import "context"

type contextKey int

const (
	decisionKey contextKey = iota
	definitionKey
)

// Decision is what was decided about a call, and by what.
type Decision struct {
	// Effect is allow or deny.
	Effect string
	// Rule names what decided; Policy is the version of the whole set of rules.
	Rule, Policy string
}

// WithDecision returns a context whose calls are recorded with d. Whoever decides
// stands before the handlers that [Log.Record] makes, and calls [Log.Refused]
// for what it does not let through.
func WithDecision(ctx context.Context, d Decision) context.Context {
	return context.WithValue(ctx, decisionKey, d)
}

// WithDefinition returns a context whose call is of a tool with the definition of
// this hash.
func WithDefinition(ctx context.Context, hash string) context.Context {
	return context.WithValue(ctx, definitionKey, hash)
}

func decisionOf(ctx context.Context) Decision {
	d, _ := ctx.Value(decisionKey).(Decision)
	return d
}

func definitionOf(ctx context.Context) string {
	hash, _ := ctx.Value(definitionKey).(string)
	return hash
}
