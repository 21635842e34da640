// Package guards tells in what a configuration guards less than the one in use, so that a reload cannot quietly take a
// guard away. What counts is all in this package and listed in docs/operations.md: comparing is done part by part, and
// where it cannot be told whether a change is one to less (a policy that was written otherwise, for one), it counts.
//
// Whoever is new (a token, an issuer, a server) takes nothing away from what guards the others, and does not count.
//
// It does not know whether a reload is refused because of it, nor how any of the guards works.
package guards

import (
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// Inventory is what guards by one configuration, with what its files held when it was made: its policies, and the
// authorities of callers' certificates.
type Inventory struct {
	cfg         *config.Config
	rules       rules
	authorities []string
}

// Of takes the inventory of a configuration. The error is about its files of policies.
func Of(cfg *config.Config) (*Inventory, error) {
	r, err := readRules(cfg.Access.Policies)
	if err != nil {
		return nil, err
	}
	return &Inventory{cfg: cfg, rules: r, authorities: readAuthorities(cfg.TLS.ClientCA)}, nil
}

// With is the inventory with the same files and another configuration: one in which stands what is really in use.
func (i *Inventory) With(cfg *config.Config) *Inventory {
	return &Inventory{cfg: cfg, rules: i.rules, authorities: i.authorities}
}

// Lowered is the error of a reload that would guard less, one entry for each guard.
type Lowered struct{ Guards strict.Faults }

// Error says of the new configuration what would be less, with its places, and what to do.
func (l *Lowered) Error() string {
	return "guards less than the one in use, which takes a restart" +
		" (or reload.may_lower_safety in the configuration that the gateway was started with):\n" + l.Guards.Error()
}

// Less gives what guards by was and does not, or less, by now; nil when nothing does. Entries have the place of what
// lowers, in now, or of what is around it if that is something which is gone.
func Less(was, now *Inventory) strict.Faults {
	c := &comparison{was: was.cfg, now: now.cfg}
	c.reload()
	c.listening()
	c.authorities(was.authorities, now.authorities)
	c.callers()
	c.access()
	c.policies(was.rules, now.rules)
	c.records()
	c.servers()
	if err, ok := c.found.Err().(strict.Faults); ok { // in the order of the file
		return err
	}
	return nil
}

// comparison gathers what is less.
type comparison struct {
	was, now *config.Config
	found    strict.Faults
}

// less notes that there is less at path.
func (c *comparison) less(path, problem string) {
	fault := c.now.Fault(path, problem, "")
	if fault.Place == (strict.Place{}) { // nothing of it is written any more
		fault.Place.File = c.now.Source()
	}
	c.found = append(c.found, fault)
}

// off notes a guard that was on.
func (c *comparison) off(path string, was, now bool) {
	if was && !now {
		c.less(path, "was on and is off")
	}
}

// on notes a door that was closed.
func (c *comparison) on(path string, was, now bool) {
	if !was && now {
		c.less(path, "was off and is on")
	}
}

// down notes a word that guards less than the one before; words stand in the order of what they guard, the least first.
func (c *comparison) down(path, was, now string, words ...string) {
	if slices.Index(words, now) < slices.Index(words, was) {
		c.less(path, "was "+was+" and is "+now)
	}
}

// wider notes entries of a list of what is permitted that were not there.
func (c *comparison) wider(path string, was, now []string) {
	if extra := without(now, was); len(extra) > 0 {
		c.less(path, "permits more than it did: "+strings.Join(extra, ", "))
	}
}

// wholeOr notes a list that bounds less: empty means that there is no bound.
func (c *comparison) wholeOr(path string, was, now []string) {
	switch {
	case len(was) == 0:
	case len(now) == 0:
		c.less(path, "was bounded to "+strings.Join(was, ", ")+" and is not any more")
	default:
		c.wider(path, was, now)
	}
}

// narrower notes entries of a list of what is closed that are gone.
func (c *comparison) narrower(path string, was, now []string) {
	if gone := without(was, now); len(gone) > 0 {
		c.less(path, "does not hold any more for "+strings.Join(gone, ", "))
	}
}

// without gives the entries of a that are not in b.
func without(a, b []string) []string {
	var rest []string
	for _, entry := range a {
		if !slices.Contains(b, entry) && !slices.Contains(rest, entry) {
			rest = append(rest, entry)
		}
	}
	return rest
}
