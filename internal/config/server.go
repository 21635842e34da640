package config

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
)

// Server is one MCP server: how it is reached, who shares it, and what of it is shown. Exactly one of command, url, urls
// and builtin says what it is.
type Server struct {
	// Name is the server's key in the file.
	Name string `yaml:"-"`

	// Program to start that speaks MCP on standard input and output, as a list of the program and its arguments. A text
	// is the program alone, whose arguments are in args.
	Command []string `yaml:"command" aka:"cmd,exec,run" list:"or-text" example:"[npx, -y, \"@modelcontextprotocol/server-filesystem\", /data]"`
	// Arguments that are appended to command.
	Args []string `yaml:"args" aka:"arguments"`
	// Address of a server that runs elsewhere: http:// and https:// for Streamable HTTP or HTTP+SSE, ws:// and wss://
	// for WebSocket.
	URL string `yaml:"url" aka:"serverUrl,httpUrl,uri,endpoint" example:"https://example.org/mcp"`
	// Addresses of several replicas of one server; each call goes to one that is healthy. An entry is a URL, or an
	// object with url and weight.
	URLs []Replica `yaml:"urls" aka:"replicas" example:"[http://10.0.0.1:9000/mcp, {url: \"http://10.0.0.2:9000/mcp\", weight: 2}]"`
	// Name of a server that is part of this binary.
	Builtin string `yaml:"builtin" example:"time"`
	// Settings of a builtin server; its own page says which. Kept as JSON.
	Settings json.RawMessage `yaml:"settings"`

	// Whether this server is left out. References that cannot be resolved are no fault then.
	Disabled bool `yaml:"disabled" default:"false" aka:"enabled"`
	// Name for people, shown in lists.
	Title string `yaml:"title"`
	// What the server is for, in a sentence.
	Description string `yaml:"description"`

	// Environment variables of the program, on top of the few that every program gets (PATH, HOME, LANG and the like).
	Env map[string]Secret `yaml:"env" aka:"environment,envs" example:"{API_KEY: \"${API_KEY}\"}"`
	// File of NAME=value lines, read at start and at each reload. A name in env wins.
	EnvFile string `yaml:"env_file" aka:"envFile" path:"true" example:".env"`
	// Directory that the program starts in. When empty, the gateway's own.
	Cwd string `yaml:"cwd" aka:"workdir,working_directory,dir" path:"true"`
	// Files and directories to watch; the program is started anew when one of them changes. For development.
	Watch []string `yaml:"watch" path:"true" example:"[./server.py]"`
	// HTTP headers for a url or urls server.
	Headers map[string]Secret `yaml:"headers" aka:"http_headers" example:"{Authorization: \"Bearer ${GITHUB_TOKEN}\"}"`

	// Keys of which one has to be in the chain of the server's certificate, which has to be valid besides: of an authority
	// that vouches for it, which outlives renewals, or its own. Each is sha256/ and the base64 of the SHA-256 of the key.
	// When another is seen, the error names those that are there.
	TLSPins []string `yaml:"tls_pins" aka:"pins,pin_certificate" example:"[\"sha256/YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg=\"]"`

	// The token that is shown to a url or urls server, where it is not a fixed one in headers.
	Auth Credential `yaml:"auth" aka:"authentication,oauth"`

	// How the server is spoken to. auto is stdio for a command, websocket for ws:// and wss://, and otherwise
	// Streamable HTTP with a fall back to HTTP+SSE.
	Transport string `yaml:"transport" default:"auto" enum:"auto|streamable-http|sse|websocket|stdio" aka:"type"`
	// Revision of MCP that is spoken with it. auto asks the server once and remembers; modern is 2026-07-28; legacy is
	// the newest revision with sessions that the server knows.
	Protocol string `yaml:"protocol" default:"auto" enum:"auto|modern|legacy|2024-11-05|2025-03-26|2025-06-18|2025-11-25|2026-07-28" aka:"revision,protocolVersion,version"`
	// Who shares one process or connection: everybody (shared), the requests of one principal (principal), or one
	// client session (session). Clients without sessions count as their principal.
	Isolation string `yaml:"isolation" default:"shared" enum:"shared|principal|session"`
	// When the program is started: with the gateway (always), or with the first call that needs it (on-demand).
	Start string `yaml:"start" default:"always" enum:"always|on-demand"`

	// Which of its tools are shown.
	Tools Filter `yaml:"tools"`
	// Tools, by the server's own names or patterns, that the operator vouches are read-only. They may be tried again
	// when a replica fails in mid-call. What the server itself claims is not enough for that.
	ReadOnly []string `yaml:"read_only" example:"[read_*, list_*]"`
	// Tools, by the server's own names or patterns, that the operator vouches are idempotent. They too may be tried
	// again.
	Idempotent []string `yaml:"idempotent" example:"[put_file]"`

	// What is not set here comes from the section defaults.
	Upkeep `yaml:",inline"`
}

// Argv is the program with all its arguments.
func (s Server) Argv() []string {
	return slices.Concat(s.Command, s.Args)
}

// Replicas is where a url or urls server is reached, one entry per replica; empty for a command or a builtin.
func (s Server) Replicas() []Replica {
	if s.URL != "" {
		return []Replica{{URL: s.URL, Weight: 1}}
	}
	return slices.Clone(s.URLs)
}

// Repeatable tells whether the operator vouched that calling the tool twice does no harm. The name is the server's own.
func (s Server) Repeatable(tool string) bool {
	return pattern.Match(s.ReadOnly, tool) || pattern.Match(s.Idempotent, tool)
}

// Replica is one address of a server that has several.
type Replica struct {
	// Address, as for url.
	URL string `yaml:"url" required:"true" short:"true"`
	// Share of the calls, relative to the other replicas.
	Weight int `yaml:"weight" default:"1" min:"1" max:"1000"`
}

// Filter chooses among the tools of one server, by the server's own names. In a pattern * stands for any characters and
// ? for one.
type Filter struct {
	// Names and patterns of tools that are shown. When empty all are.
	Allow []string `yaml:"allow" aka:"include,enabled" example:"[read_*, list_directory]"`
	// Names and patterns of tools that are not shown, whatever allow says.
	Deny []string `yaml:"deny" aka:"exclude,disabled" example:"[delete_*]"`
}

// Allows tells whether a tool passes: not denied, and allowed by name or because allow is empty.
func (f Filter) Allows(tool string) bool {
	if pattern.Match(f.Deny, tool) {
		return false
	}
	return len(f.Allow) == 0 || pattern.Match(f.Allow, tool)
}

// Upkeep is how a server is kept reachable: waits, bounds, retries, health, restarts. With it
// comes what it may do to the machine and to its callers.
type Upkeep struct {
	// How long one call may take, until its answer is complete. Progress does not extend it.
	Timeout time.Duration `yaml:"timeout" default:"5m" min:"1ms" max:"24h" aka:"call_timeout,request_timeout"`
	// How long it may take to connect to a url server and agree on a revision.
	ConnectTimeout time.Duration `yaml:"connect_timeout" default:"10s" min:"1ms" max:"10m"`
	// How long a program may take from its start until it has answered for the first time.
	StartupTimeout time.Duration `yaml:"startup_timeout" default:"60s" min:"1ms" max:"1h" env:"MCP_MAX_STARTUP_TIME" aka:"start_timeout"`
	// How long one list (tools, prompts, resources, templates) may take, all its pages together.
	ListTimeout time.Duration `yaml:"list_timeout" default:"30s" min:"1ms" max:"10m"`
	// How long a program may take to end after its input was closed, and again after SIGTERM, before it is killed.
	StopTimeout time.Duration `yaml:"stop_timeout" default:"5s" min:"10ms" max:"5m"`
	// A program that was started on demand, or for one principal or session, is stopped after this long without a call.
	// 0 means never. A server of a revision with sessions has a process for each set of things that its callers can be
	// asked for (sampling, elicitation, roots): those that nobody uses any more go the same way, and one that only the
	// gateway itself has used after a minute.
	IdleStop time.Duration `yaml:"idle_stop" default:"10m" min:"0s" max:"720h"`

	// Most calls at once.
	MaxConcurrency int `yaml:"max_concurrency" default:"64" min:"1" max:"100000" aka:"concurrency"`
	// Most calls that wait for their turn; the next one is refused at once.
	MaxQueue int `yaml:"max_queue" default:"256" min:"0" max:"1000000" aka:"queue"`
	// Connections to a url server that are kept open between calls; as many as there may be at once unless said otherwise.
	KeepConnections int `yaml:"keep_connections" default:"256" min:"0" max:"100000" env:"MCP_POOL_MIN_SIZE"`
	// Most connections to one address of a url server.
	MaxConnections int `yaml:"max_connections" default:"256" min:"1" max:"100000" env:"MCP_POOL_MAX_SIZE"`

	// Memory that the program and its children may use together; with more they are killed. 0 means no limit. Pages that
	// processes share count for each, except where the system has control groups for the gateway.
	MemoryLimit Size `yaml:"memory_limit" default:"0" min:"0" env:"MCP_MEMORY_LIMIT" aka:"memory,mem_limit"`
	// Processor time that the program and its children may use together, in percent of one processor. 0 means no
	// limit. It takes control groups; where the gateway may not make them, health reports say that it is not enforced.
	CPUQuota float64 `yaml:"cpu_quota" default:"0%" min:"0%" max:"100000%" unit:"%" env:"MCP_CPU_QUOTA" aka:"cpu,cpus"`
	// What the program may reach, and bounds on its parts.
	Sandbox Sandbox `yaml:"sandbox"`
	// What is shown of what it writes, where that has characters that nobody sees.
	Text Text `yaml:"text"`

	// What the server may ask its callers for.
	Asks Asks `yaml:"asks"`
	// Trying again, only where that is safe: lists, reads, and tools that read_only or idempotent name.
	Retries Retries `yaml:"retries" aka:"retry"`
	// Checks that a server answers.
	Health Health `yaml:"health" aka:"healthcheck,health_check"`
	// Circuit breaker: after failures in a row, calls are refused at once for a while.
	Breaker Breaker `yaml:"breaker" aka:"circuit_breaker"`
	// Starting a program anew after it ended by itself.
	Restart Restart `yaml:"restart"`
}

// Retries says how often and at what pace a call that is safe to repeat is tried again.
type Retries struct {
	// Most times that one call is sent, the first included. 1 means never again.
	Attempts int `yaml:"attempts" default:"3" min:"1" max:"10"`
	// Wait before the second attempt; it doubles each time, and each wait is random between half and the whole.
	MinBackoff time.Duration `yaml:"min_backoff" default:"100ms" min:"1ms" max:"1m"`
	// Longest wait between two attempts.
	MaxBackoff time.Duration `yaml:"max_backoff" default:"2s" min:"1ms" max:"10m"`
	// Most retries, in percent of the calls to this server, so that retries do not bury a server that struggles.
	Budget float64 `yaml:"budget" default:"20%" min:"0%" max:"100%" unit:"%"`
}

// Health says how a server is checked.
type Health struct {
	// How often it is checked. 0 means never; then only the fate of calls tells.
	Interval time.Duration `yaml:"interval" default:"2s" min:"0s" max:"1h" env:"MCP_HEALTH_CHECK_INTERVAL"`
	// How long a check may take.
	Timeout time.Duration `yaml:"timeout" default:"1s" min:"1ms" max:"5m"`
	// Checks in a row that must fail before calls go elsewhere. A program that has nothing to do is started anew then; one
	// that is at work is left to finish.
	UnhealthyAfter int `yaml:"unhealthy_after" default:"2" min:"1" max:"100"`
	// Checks in a row that must succeed before calls come back.
	HealthyAfter int `yaml:"healthy_after" default:"1" min:"1" max:"100"`
}

// Breaker says when calls to a server are refused without trying.
type Breaker struct {
	// Failures in a row that open the breaker. 0 means that it never opens.
	Failures int `yaml:"failures" default:"5" min:"0" max:"10000" env:"MCP_FAILURE_THRESHOLD"`
	// How long it stays open; then one call is let through to try. When it opened because the server could not be
	// reached, a health check that reaches it lets one through at once.
	OpenFor time.Duration `yaml:"open_for" default:"60s" min:"1ms" max:"24h" env:"MCP_RECOVERY_TIMEOUT"`
}

// Restart says what happens when a program ends by itself.
type Restart struct {
	// Whether it is started anew.
	Enabled bool `yaml:"enabled" default:"true" env:"MCP_AUTO_RESTART"`
	// Wait before the first restart; it doubles each time, and each wait is random between half and the whole.
	MinBackoff time.Duration `yaml:"min_backoff" default:"500ms" min:"1ms" max:"1h"`
	// Longest wait between two restarts. A program that ran for this long starts again with the shortest wait.
	MaxBackoff time.Duration `yaml:"max_backoff" default:"30s" min:"1ms" max:"24h"`
	// So many ends within crash_window are a crash loop: the server is shown as such and is only tried at the longest
	// wait.
	CrashCount int `yaml:"crash_count" default:"5" min:"1" max:"1000"`
	// Time in which ends are counted.
	CrashWindow time.Duration `yaml:"crash_window" default:"2m" min:"1s" max:"24h"`
}
