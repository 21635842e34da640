package audit

import "context"

// recordKey is the one key under which contexts carry something for the log, so that
// one look finds all of it.
type recordKey struct{}

// recordContext is a context whose calls are recorded with what it has.
type recordContext struct {
	context.Context
	decision   Decision
	definition string
}

// Value implements context.Context.
func (c *recordContext) Value(key any) any {
	if key == (recordKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// Decision is what was decided about a call, and by what.
type Decision struct {
	// Effect is allow, deny, or ask when its user is asked whether to make it.
	Effect string
	// Rule names what decided; Policy is the version of the whole set of rules.
	Rule, Policy string
}

// WithDecision returns a context whose calls are recorded with d. Whoever decides
// stands before the handlers that [Log.Record] makes, and calls [Log.Refused]
// for what it does not let through. A definition is said after it.
func WithDecision(ctx context.Context, d Decision) context.Context {
	return &recordContext{Context: ctx, decision: d}
}

// WithDefinition returns a context whose call is of a tool with the definition of
// this hash.
func WithDefinition(ctx context.Context, hash string) context.Context {
	decision, _ := recordOf(ctx)
	return &recordContext{Context: ctx, decision: decision, definition: hash}
}

// recordOf gives the decision and the definition that the calls of ctx are recorded with.
func recordOf(ctx context.Context) (Decision, string) {
	c, _ := ctx.Value(recordKey{}).(*recordContext)
	if c == nil {
		return Decision{}, ""
	}
	return c.decision, c.definition
}
