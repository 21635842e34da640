package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// audience digests everything of a principal that a policy can see, and the
// policies. Nothing is left out for being unused today: an audience that is too
// narrow costs memory, one that is too wide shows what is not to be seen.
func (r *ruleset) audience(p mcp.Principal) string {
	who := r.person(&Question{Principal: p})
	who.once.Do(func() {
		hash := sha256.New()
		write := func(texts ...string) {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(texts)))
			hash.Write(n[:])
			for _, text := range texts {
				binary.BigEndian.PutUint64(n[:], uint64(len(text)))
				hash.Write(n[:])
				hash.Write([]byte(text))
			}
		}
		write(r.version, p.ID, p.Name, p.Method)
		write(p.Roles...)
		write(p.Groups...)
		if p.Servers != nil {
			write("bound")
			write(p.Servers...)
		}
		who.audience = hex.EncodeToString(hash.Sum(nil)[:16])
	})
	return who.audience
}
