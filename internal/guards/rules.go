package guards

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cedar-policy/cedar-go"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// rules are the policies that matter here, by what they say: what is forbidden, and what opens everything to everybody.
// The values are where they stand.
type rules struct{ forbids, opens map[string]string }

// readRules reads policies. What is wrong with one that can be read is for others to say, and it is left out.
func readRules(sources []config.PolicySource) (rules, error) {
	r := rules{forbids: make(map[string]string), opens: make(map[string]string)}
	for i, source := range sources {
		name, text := source.Name, []byte(source.Text)
		if source.Text == "" {
			var err error
			if text, err = os.ReadFile(source.File); err != nil {
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

func (r rules) add(p *cedar.Policy, place string) {
	switch {
	case p.Effect() == cedar.Forbid:
		r.forbids[string(p.MarshalCedar())] = place
	case opensAll(p):
		r.opens[string(p.MarshalCedar())] = place
	}
}

// opensAll says whether a permit is for everybody, everything and whatever the circumstances.
func opensAll(p *cedar.Policy) bool {
	text, err := p.MarshalJSON()
	if err != nil {
		return false
	}
	var form struct {
		Principal, Action, Resource struct{ Op string }
		Conditions                  []json.RawMessage
	}
	return json.Unmarshal(text, &form) == nil && form.Principal.Op == "All" && form.Action.Op == "All" && form.Resource.Op == "All" && len(form.Conditions) == 0
}

// policies is about what is forbidden: each forbid has to be there as it was, since what another one forbids cannot be
// compared.
func (c *comparison) policies(was, now rules) {
	for _, text := range slices.Sorted(maps.Keys(was.forbids)) {
		if _, there := now.forbids[text]; !there {
			c.less("access.policies", "do not have the forbid any more that was at "+was.forbids[text]+", or in other words")
		}
	}
	for _, text := range slices.Sorted(maps.Keys(now.opens)) {
		if _, there := was.opens[text]; !there {
			c.less("access.policies", "permit everything to everybody who may come in, at "+now.opens[text])
		}
	}
}
