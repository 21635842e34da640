package flow

// Bound makes a memory smaller, so that tests can fill it.
func (m *Memory) Bound(readers, own, scopes int) { m.most = bounds{readers, own, scopes} }

// Size is how many readers, and conversations of all of them, are remembered.
func (m *Memory) Size() (readers, scopes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := 0
	for _, r := range m.readers {
		own += len(r.own)
	}
	if own != m.scopes {
		return -1, m.scopes - own
	}
	return len(m.readers), m.scopes
}

// Waiting is how many calls wait for their users.
func (a *Approvals) Waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting)
}

// Visible is visible.
func Visible(text string) string { return visible(text) }
