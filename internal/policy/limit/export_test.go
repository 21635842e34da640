package limit

import "context"

// MaxKeys is the bound of Keys.
const MaxKeys = maxKeys

// Keys is how many keys are remembered.
func (l *Limiter) Keys() int {
	n := 0
	for i := range l.local.shards {
		n += len(l.local.shards[i].m)
	}
	return n
}

// Renew lets the calls under way keep their places, as happens now and then.
func (l *Limiter) Renew(ctx context.Context) { l.redis.renew(ctx) }

// Lease is how long a call has its places.
const Lease = lease
