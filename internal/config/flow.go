package config

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Flow keeps what was read at some servers from driving calls of others: pages, mails and files can hold instructions,
// and models obey some of them. Servers and tools are written as server, or as server__tool with the separator of names,
// in which * stands for any characters and ? for one.
type Flow struct {
	// What the flow is called in decisions, in the audit log and to the user; its place in the list when empty.
	Name string `yaml:"name" example:"web-to-mail"`
	// Whose content counts: whatever a call of these tools, prompts or resources gives. What a server says of its tools
	// in lists does not count (see pinning).
	From []string `yaml:"from" required:"true" aka:"sources,source" example:"[web]"`
	// What stands under the flow from then on: calls of tools, prompts and resources.
	To []string `yaml:"to" required:"true" aka:"sinks,targets" example:"[mail, files__write_*]"`
	// What of to is free nevertheless.
	Except []string `yaml:"except" example:"[mail__search]"`
	// What becomes of such a call. With ask the user is asked about each one, with its arguments, where the client can
	// (elicitation, since revision 2025-06-18); where it cannot, the call is refused. With refuse it always is.
	Do string `yaml:"do" default:"ask" enum:"ask|refuse"`
}

// Title is what the flow is called that stands at a place of the list, from 0.
func (f *Flow) Title(at int) string { return cmp.Or(f.Name, strconv.Itoa(at+1)) }

// Conversation says which calls go on with what was read. It is remembered by each process for itself, at most for
// 16,384 callers and 65,536 conversations; what there is no room for counts as read.
type Conversation struct {
	// Which calls are of one conversation: all of a principal; those of one of its client programs, by the name that the
	// client says of itself; or those of one session, where the client's revision has sessions (before 2026-07-28), else
	// as with client. Take session only if your clients keep one session for one conversation: some open one for each call.
	By string `yaml:"by" default:"client" enum:"client|session|principal"`
	// How long what was read counts, from when it was last read.
	For time.Duration `yaml:"for" default:"4h" min:"1m" max:"720h" aka:"ttl,lasts"`
}

var flowName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// flows checks that each flow is about servers that there are, and has a name of its own.
func (c *checker) flows() {
	called := map[string]string{}
	for i := range c.Access.Flows {
		f, path := &c.Access.Flows[i], fmt.Sprintf("access.flows[%d]", i)
		if f.Name != "" && !flowName.MatchString(f.Name) {
			c.fault(path+".name", fmt.Sprintf("%q is not a name", f.Name), "use 1 to 64 letters, digits, _ - and ., beginning with a letter or digit")
		}
		if other := called[f.Title(i)]; other != "" {
			c.fault(path+".name", fmt.Sprintf("%q is what %s is called", f.Title(i), other), "choose another name")
		}
		called[f.Title(i)] = path
		for _, l := range []struct {
			key  string
			list []string
		}{{"from", f.From}, {"to", f.To}, {"except", f.Except}} {
			if len(l.list) == 0 && l.key != "except" {
				c.hollow(path+"."+l.key, "is empty, so that the flow is about nothing", "name servers, or tools like files__write_*")
			}
			for j, entry := range l.list {
				c.party(fmt.Sprintf("%s.%s[%d]", path, l.key, j), entry)
			}
		}
	}
}

// party checks the name of a server, or of something that one has.
func (c *checker) party(path, entry string) {
	separator := cmp.Or(c.Names.Separator, defaultSeparator)
	if entry == "" || strings.Contains(entry, separator) {
		c.entry(path, entry)
		return
	}
	before := len(c.faults)
	c.entry(path, entry+separator+"*")
	if len(c.faults) > before {
		remedy := &c.faults[before].Remedy
		*remedy = strings.ReplaceAll(*remedy, separator+"*", "")
		if !strings.HasPrefix(*remedy, "did you mean") {
			*remedy += fmt.Sprintf("; a tool is written server%stool", separator)
		}
	}
}
