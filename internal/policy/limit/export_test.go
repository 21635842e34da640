package limit

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
