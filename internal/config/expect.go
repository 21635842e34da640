package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Expectation is a call with the answer that the policies have to give: a test of them. It is asked whenever they are
// loaded, and calls nothing.
type Expectation struct {
	// The answer that is expected.
	Decision string `yaml:"decision" required:"true" enum:"allow|deny" aka:"expect,want,effect,answer"`
	// Who calls: the name of a token, or any id as policies write it, such as user:ann or corp:7. When empty it is
	// somebody who has not shown who they are.
	As string `yaml:"as" aka:"principal,user,who" example:"ann"`
	// Roles of who calls. When empty they are those of the token that as names, else access.default_roles. What a local
	// user or an identity provider's says is not looked up: write it.
	Roles []string `yaml:"roles" aka:"role" list:"or-text" example:"[user]"`
	// Groups of who calls.
	Groups []string `yaml:"groups" aka:"group" list:"or-text" example:"[contractors]"`
	// Method of the protocol, such as prompts/get or resources/read; or an action of the schema of policies.
	Method string `yaml:"method" default:"tools/call" aka:"action"`
	// What it is about: server__tool with the separator of names, or server__uri; for an action KIND/NAME, such as
	// Platform/users.
	Name string `yaml:"name" required:"true" aka:"tool,resource,prompt" example:"files__write_file"`
	// Arguments of the call.
	Arguments json.RawMessage `yaml:"arguments" aka:"args,with"`
	// Where the call comes from, as an IP address. When empty it is not known, and policies that ask for it refuse.
	Address string `yaml:"address" aka:"ip,from" example:"10.1.2.3"`
	// When the call is made, as 2026-12-31T08:00:00Z. When empty it is the time at which the policies are loaded.
	Time string `yaml:"time" aka:"at,when" example:"2026-12-31T08:00:00Z"`
}

// expectations checks their form; whether they are met is for who knows policies.
func (c *checker) expectations() {
	for i, e := range c.Access.Expect {
		path := fmt.Sprintf("access.expect[%d]", i)
		if _, err := netip.ParseAddr(e.Address); e.Address != "" && err != nil {
			c.fault(path+".address", fmt.Sprintf("%q is no address", e.Address), "write it like 10.1.2.3")
		}
		if _, err := time.Parse(time.RFC3339, e.Time); e.Time != "" && err != nil {
			c.fault(path+".time", fmt.Sprintf("%q is no time", e.Time), "write it like 2026-12-31T08:00:00Z")
		}
		for n, role := range e.Roles {
			if !roleName.MatchString(role) {
				c.fault(fmt.Sprintf("%s.roles[%d]", path, n), fmt.Sprintf("%q is not a role", role), "write 1 to 64 of a-z, 0-9 and _, beginning with a letter")
			}
		}
	}
}
