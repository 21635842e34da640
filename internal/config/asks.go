package config

import (
	"fmt"
	"slices"
	"strings"
)

// Asks is what a server may ask its callers for while it works on a call. docs/servers.md tells what is judged, and what
// becomes of a question that is not passed on.
type Asks struct {
	// What the server may not ask for: forms, links, sampling (answers of the client's model) and roots (the client's
	// folders). It is not told that a client has them.
	Refuse []string `yaml:"refuse" example:"[sampling, roots]"`
	// Forms that ask for a password, a key, a token, a code, a PIN or a card: they are refused, or passed on all the same.
	Secrets string `yaml:"secrets" default:"refuse" enum:"refuse|pass"`
	// Hosts that links may lead to, as names, or patterns such as *.example.org for all below one. When empty, every
	// host, over https.
	Hosts []string `yaml:"hosts" aka:"allowed_hosts" example:"[login.example.org]"`
	// Whether the server's name is put before what it asks, and before a link also the host that it leads to.
	Named bool `yaml:"named" default:"false"`
	// Most questions to the user that one caller gets from the server in a minute. 0 means no bound.
	PerMinute int `yaml:"per_minute" default:"60" min:"0" max:"100000"`
}

// askable are the words of Asks.Refuse.
var askable = [...]string{"forms", "links", "sampling", "roots"}

// asks checks what servers may ask for.
func (c *checker) asks(path string, a Asks) {
	path += ".asks"
	for i, word := range a.Refuse {
		if !slices.Contains(askable[:], word) && c.isSet(path+".refuse") {
			c.fault(fmt.Sprintf("%s.refuse[%d]", path, i), fmt.Sprintf("%q is nothing that servers ask for", word),
				"write some of "+strings.Join(askable[:], ", "))
		}
	}
	if !c.isSet(path + ".hosts") {
		return
	}
	for i, host := range a.Hosts {
		if host == "" || strings.ToLower(host) != host || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.*?:") != "" {
			c.fault(fmt.Sprintf("%s.hosts[%d]", path, i), fmt.Sprintf("%q is no host name", host),
				"write the name alone, in small letters, like login.example.org or *.example.org, other letters in punycode (xn--)")
		}
	}
}
