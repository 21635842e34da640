package secret

import "context"

// Named seals small things by what they are called, with the data keys of one
// subject.
type Named struct {
	box     *Box
	subject string
	older   Opener
}

// Opener decrypts what was sealed before.
type Opener interface {
	Open(ctx context.Context, name string, sealed []byte) ([]byte, error)
}

// Named returns what seals for a subject. older opens what was sealed before there
// was a Box; nil if nothing was.
func (b *Box) Named(subject string, older Opener) *Named { return &Named{b, subject, older} }

func placeOf(name string) Place { return Place{Table: "named", Row: name} }

// Seal encrypts what is called so.
func (n *Named) Seal(ctx context.Context, name string, plain []byte) ([]byte, error) {
	return n.box.Seal(ctx, n.subject, placeOf(name), plain)
}

// Open decrypts what was sealed under the same name.
func (n *Named) Open(ctx context.Context, name string, sealed []byte) ([]byte, error) {
	plain, _, err := n.box.Open(ctx, n.subject, placeOf(name), sealed)
	if err != nil && n.older != nil {
		if was, olderErr := n.older.Open(ctx, name, sealed); olderErr == nil {
			return was, nil
		}
	}
	return plain, err
}
