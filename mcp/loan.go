package mcp

import "sync"

// Loan bounds: smaller answers are not worth it, and memory for larger ones is
// not kept.
const (
	MinLoan = 64 << 10
	MaxLoan = 4 << 20
)

// Lender lends memory for large answers, so that not each of them needs new
// memory, which is cold and has to be cleared. The zero value is ready to use.
type Lender struct{ pool sync.Pool }

// Loan is the memory for the answer to one request. Whoever answers the
// request may read the answer into it, and keep nothing of it beyond the call
// unless it calls Keep; whoever has written the answer out takes it back. It is
// used by one goroutine at a time.
type Loan struct {
	lender *Lender
	memory *[]byte
	kept   bool
}

// Lending is a Stream that lends memory for the response to its request.
type Lending interface {
	Stream
	// Loan returns nil when there is none.
	Loan() *Loan
}

// NewLoan returns a loan of which nothing is taken yet.
func (l *Lender) NewLoan() Loan { return Loan{lender: l} }

// Take returns n bytes, which are not cleared. It is nil without a loan, when n
// is out of bounds, and when the loan is taken already.
func (l *Loan) Take(n int) []byte {
	if l == nil || l.lender == nil || l.memory != nil || n < MinLoan || n > MaxLoan {
		return nil
	}
	memory, ok := l.lender.pool.Get().(*[]byte)
	if !ok || cap(*memory) < n {
		fresh := make([]byte, n)
		memory = &fresh
	}
	l.memory = memory
	return (*memory)[:n]
}

// Keep leaves the memory to who took it: it is not used again.
func (l *Loan) Keep() {
	if l != nil {
		l.kept = true
	}
}

// Return ends the loan. Nobody may look at the memory any more.
func (l *Loan) Return() {
	if l.memory != nil && !l.kept {
		l.lender.pool.Put(l.memory)
	}
	l.lender, l.memory = nil, nil
}
