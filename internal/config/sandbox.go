package config

import (
	"fmt"
	"strings"
	"time"
)

// Sandbox says what a program may reach and use. docs/sandbox.md tells what each level keeps it from, and what systems
// give it. The bounds on memory and processor time are memory_limit and cpu_quota.
type Sandbox struct {
	// How much the program is kept from: 0 is a clean environment and no way to gain privileges, 1 also only the files
	// of read and write, 2 also its own processes and network, 3 also only the calls of the kernel that servers need.
	// Where the system cannot give that much, the program gets what it can, and health reports say so.
	Level int `yaml:"level" default:"0" min:"0" max:"3"`
	// The least level. Where the system cannot give it, the program is not started.
	MinLevel int `yaml:"min_level" default:"0" min:"0" max:"3"`
	// Files and directories that the program may read and run from level 1 on, besides those of the system, its own, its
	// cwd and those of version managers.
	Read []string `yaml:"read" path:"true" example:"[./data]"`
	// Files and directories that it may also write, besides its package manager's caches and directories for temporary
	// files.
	Write []string `yaml:"write" path:"true" aka:"read_write" example:"[~/notes]"`
	// Which network it has: that of the machine (host), none, which takes level 2 to hold for everything and at level 1
	// closes TCP, or none but a proxy that leads to hosts (proxy), which takes level 2. auto is host at levels 0 and 1,
	// and none above.
	Network string `yaml:"network" default:"auto" enum:"auto|host|none|proxy"`
	// Where the proxy leads: names of hosts, *.example.org for all below one, addresses and networks. When empty it is
	// every public address. A name or address that stands here may be a private one; what a name with * means may not.
	Hosts []string `yaml:"hosts" aka:"allowed_hosts" example:"[api.example.org, \"*.files.example.org\"]"`
	// Whether a proxy that the gateway itself has to go through (HTTPS_PROXY) may judge the addresses of names that are
	// not written out in hosts. Only where that proxy refuses private addresses: without it such names are judged here.
	TrustProxy bool `yaml:"trust_proxy" default:"false"`
	// How the package of a program is fetched that npx or uvx would start.
	Fetch Fetch `yaml:"fetch"`
	// Whether the program may gain privileges, by sudo for one. Only at level 0.
	Privileges bool `yaml:"privileges" default:"false"`
	// Most files that one process has open. 0 means as many as the gateway.
	OpenFiles int `yaml:"open_files" default:"0" min:"0" max:"10000000"`
	// Most bytes of a file that it writes. 0 means no limit.
	FileSize Size `yaml:"file_size" default:"0" min:"0"`
	// Most bytes of address space of one process. 0 means no limit. Programs with a JIT, such as node, reserve much more
	// than they use: memory_limit is what counts memory.
	AddressSpace Size `yaml:"address_space" default:"0" min:"0"`
	// Most processor time of one process over its whole life. 0 means no limit.
	CPUTime time.Duration `yaml:"cpu_time" default:"0s" min:"0s" max:"8760h"`
	// Most processes and threads at once. 0 means no limit. It takes control groups.
	Processes int `yaml:"processes" default:"0" min:"0" max:"1000000"`
}

// Fetch says how the package of an npx or uvx command is fetched: in a phase of its own, over a proxy of the gateway that
// leads to registries only. Then its program is started with the sandbox that is configured, without npx.
type Fetch struct {
	// Whether there is such a phase: auto is where the program's network is none or proxy, at level 1 and above; never
	// leaves it to npx and uvx themselves.
	When string `yaml:"when" default:"auto" enum:"auto|always|never"`
	// Where packages may come from, as in hosts. When empty these are the registries of npm's settings, or the indexes of
	// uv's; with none there, uv may reach every public address.
	Hosts []string `yaml:"hosts" example:"[npm.example.org]"`
	// Whether packages may run programs of their own while they are installed: npm's install scripts, builds of Python
	// packages from source. These run in the fetch's sandbox.
	Scripts bool `yaml:"scripts" default:"false"`
	// How long it may take; that is no part of startup_timeout.
	Timeout time.Duration `yaml:"timeout" default:"5m" min:"1s" max:"1h"`
	// Most bytes that are installed. As many may come over the network for it, which is counted from level 2 on.
	Size Size `yaml:"size" default:"1GiB" min:"1MiB" max:"100GiB"`
}

// sandbox refuses what contradicts itself.
func (c *checker) sandbox(path string, s Sandbox) {
	if s.MinLevel > s.Level && c.either(path, "sandbox.level", "sandbox.min_level") {
		c.fault(path+".sandbox.min_level", fmt.Sprintf("%d is more than level, %d, so that the server would never start", s.MinLevel, s.Level),
			"make level as large")
	}
	if s.Privileges && s.Level > 0 && c.either(path, "sandbox.level", "sandbox.privileges") {
		c.fault(path+".sandbox.privileges", fmt.Sprintf("is not possible at level %d", s.Level), "remove it, or make level 0")
	}
	if s.Network == "proxy" && s.Level < 2 && c.either(path, "sandbox.network", "sandbox.level") {
		c.fault(path+".sandbox.network", fmt.Sprintf("proxy takes level 2, and level is %d", s.Level), "make level 2, and min_level too if it must not start without")
	}
	if len(s.Hosts) > 0 && s.Network != "proxy" && c.either(path, "sandbox.network", "sandbox.hosts") {
		c.fault(path+".sandbox.hosts", "counts for network: proxy only, and network is "+s.Network, "make network proxy, or remove hosts")
	}
	for place, hosts := range map[string][]string{"hosts": s.Hosts, "fetch.hosts": s.Fetch.Hosts} {
		for i, host := range hosts {
			if host == "" || strings.Contains(host, "://") || strings.ContainsAny(host, " \t@?#") {
				c.fault(fmt.Sprintf("%s.sandbox.%s[%d]", path, place, i), fmt.Sprintf("%q is no host", host),
					"write a name, an address or a network, without scheme and port")
			}
		}
	}
	if s.CPUTime%time.Second != 0 {
		c.fault(path+".sandbox.cpu_time", "counts whole seconds", "write it like 90s")
	}
}
