package guards

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// rules are the policies that matter here, by what they say: what is forbidden, and what is permitted.
type rules struct {
	forbids map[string]string // the values are where they stand
	permits []*permit
}

// maxFile bounds a file that is read, in bytes.
const maxFile = 4 << 20

// readFile reads a file; what is not a file is not waited for.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", name, maxFile)
	}
	return os.ReadFile(name)
}

// readRules reads policies. What is wrong with one that can be read is for others to say, and it is left out.
func readRules(sources []config.PolicySource) (rules, error) {
	r := rules{forbids: make(map[string]string)}
	for i, source := range sources {
		name, text := source.Name, []byte(source.Text)
		if source.Text == "" {
			var err error
			if text, err = readFile(source.File); err != nil {
				return rules{}, fmt.Errorf("access.policies[%d]: %w", i, err)
			}
			name = filepath.Base(source.File)
		}
		list, err := cedar.NewPolicyListFromBytes(name, text)
		if err != nil {
			continue
		}
		for _, p := range list {
			r.add(p, fmt.Sprintf("%s:%d", name, p.Position().Line))
		}
	}
	return r, nil
}

func (r *rules) add(p *cedar.Policy, place string) {
	if p.Effect() == cedar.Forbid {
		r.forbids[string(p.MarshalCedar())] = place
		return
	}
	r.permits = append(r.permits, permitOf(p, place))
}

// policies is about what is forbidden: each forbid has to be there as it was, since what another one forbids cannot be
// compared. And about what is permitted on conditions, or to everybody.
func (c *comparison) policies(was, now rules) {
	for _, text := range slices.Sorted(maps.Keys(was.forbids)) {
		if _, there := now.forbids[text]; !there {
			c.less("access.policies", "do not have the forbid any more that was at "+was.forbids[text]+", or in other words")
		}
	}
	if !slices.ContainsFunc(was.permits, (*permit).opens) {
		for _, p := range now.permits {
			if p.opens() {
				c.less("access.policies", "permit everything to everybody who may come in, at "+p.place)
			}
		}
	}
	c.conditions(was.permits, now.permits)
}

// readAuthorities gives the certificates of a file, by their digests. Of a file that cannot be read it gives none: with
// that no connection can be opened, which is for others to say.
func readAuthorities(name string) []string {
	if name == "" {
		return nil
	}
	rest, err := readFile(name)
	if err != nil {
		return nil
	}
	var all []string
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		if block.Type == "CERTIFICATE" {
			all = append(all, fmt.Sprintf("%x", sha256.Sum256(block.Bytes)))
		}
	}
}

// authorities is about who vouches for callers with certificates: the file says so, and it may be another by the same name.
func (c *comparison) authorities(was, now []string) {
	if c.was.TLS.ClientCA != "" && len(without(now, was)) > 0 {
		c.less("tls.client_ca", "holds authorities that it did not, with certificates of which callers come in; fingerprints (SHA-256): "+strings.Join(without(now, was), ", "))
	}
}
