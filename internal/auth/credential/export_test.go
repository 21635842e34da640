package credential

import "context"

// Purge is one turn of Run.
func (b *Broker) Purge(ctx context.Context) error { return b.purge(ctx) }
