// Package config is the configuration file as Go structs: it loads the file strictly, fills in defaults and what the
// environment says, and reports every fault at once with its place.
//
// It does not know what the sections are used for: it starts nothing, dials nothing, and does not know which built-in
// servers exist. A package receives its own section and never the whole.
//
// The comment of each field is the manual: docs/config.md and docs/dragoman.schema.json are made from them. The struct
// tags carry what a machine needs: yaml (the key), default, min, max, enum, env (an environment variable that sets the
// default), aka (words people write instead, for "did you mean"), path (relative to the file, ~ is the home directory).
package config

//go:generate go run ./gen -docs ../../docs

import (
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// Config is the whole file. A value that came out of Load or Parse is complete: defaults are filled in, references are
// resolved, every server carries the values that it inherits from defaults.
type Config struct {
	// Address and port that the gateway answers on, as host:port. An empty host means every address of the machine.
	// Anything but a loopback address is refused unless auth has at least one way to show who calls.
	// MCP_BIND_HOST changes the host of the default.
	Listen string `yaml:"listen" default:"127.0.0.1:8000" aka:"port,host,bind,address,addr"`
	// Address under which clients reach the gateway when it differs from listen, for example behind a reverse proxy.
	// Its host is added to allowed_hosts and its origin to allowed_origins.
	PublicURL string `yaml:"public_url" example:"https://mcp.example.org"`
	// Host names, with or without a port, that requests may name in their Host header. Loopback names, the host of
	// listen and the host of public_url are always allowed. Everything else is refused, which stops DNS rebinding.
	AllowedHosts []string `yaml:"allowed_hosts" example:"[mcp.example.org]"`
	// Origins (scheme://host[:port]) of web pages that may call the gateway from a browser. The gateway's own origins
	// are always allowed; a request without an Origin header does not come from a page and passes. Pages of these origins
	// are told so by CORS headers.
	AllowedOrigins []string `yaml:"allowed_origins" aka:"cors,origins" example:"[https://app.example.org]"`
	// Reverse proxies, by address or network, that are believed when they say for whom they ask (X-Forwarded-For). What
	// others write into that header counts for nothing. It is for policies that look at context.address.
	TrustedProxies []string `yaml:"trusted_proxies" list:"or-text" example:"[10.0.0.5, fd00:12::/64]"`
	// The gateway's own TLS, and who vouches for client certificates.
	TLS TLS `yaml:"tls"`
	// Who may call.
	Auth Auth `yaml:"auth" aka:"authentication"`
	// Who may do what.
	Access Access `yaml:"access" aka:"authorization,policy"`
	// The MCP servers behind the gateway, by name. A name is 1 to 32 characters of a-z, 0-9, _ and -, starts with a
	// letter or digit, and does not contain the separator. It prefixes the names of the server's tools and prompts
	// (files__read_file) and is part of the server's own address (/mcp/files).
	Servers map[string]Server `yaml:"servers" aka:"mcpServers,mcp_servers"`
	// Named subsets of all tools, prompts and resources, each at /mcp/{view}. Names follow the rule for servers, and a
	// view may not have the name of a server.
	Views map[string]View `yaml:"views" aka:"profiles"`
	// What every server inherits unless its own section says otherwise.
	Defaults Upkeep `yaml:"defaults"`
	// Child processes: where their logs and pid files go, how they start.
	Processes Processes `yaml:"processes"`
	// Names of tools and prompts as clients see them.
	Names Names `yaml:"names"`
	// Lists of tools, prompts and resources, gathered from all servers.
	Catalog Catalog `yaml:"catalog"`
	// Bounds on what a client can make the gateway hold.
	Limits Limits `yaml:"limits"`
	// How often calls may be made.
	Rates Rates `yaml:"rates" aka:"rate_limits,quotas,throttling"`
	// Sessions of clients that speak a revision with sessions (2025-11-25 and older), and calls that wait for input.
	Session Session `yaml:"session"`
	// What the gateway has to remember, and where.
	State State `yaml:"state" aka:"store,storage,database"`
	// The gateway's own log, on standard error.
	Log Log `yaml:"log"`
	// Metrics and traces.
	Telemetry Telemetry `yaml:"telemetry"`
	// The record of who had what done.
	Audit Audit `yaml:"audit"`
	// Keys for what is kept encrypted, and what counts as a secret in logs.
	Secrets Secrets `yaml:"secrets"`
	// What a reload may do.
	Reload Reload `yaml:"reload"`
	// What happens on SIGTERM and SIGINT.
	Shutdown Shutdown `yaml:"shutdown"`

	// Origins tells for each value that is set where it came from: "dragoman.yaml:3:9", "environment MCP_LOG_LEVEL"
	// or "default". Keys are paths like "log.level" and "servers.files.command". Who changes a value because of a flag
	// notes "flag --listen" here, and then asks Validate.
	Origins map[string]string `yaml:"-"`
	// Warnings are remarks about a configuration that works: a name that was changed to fit, a setting without effect.
	Warnings []string `yaml:"-"`

	places  map[string]strict.Place // where each path was written; nil for a Config that was not loaded
	missing map[string]string       // by server, what a server of a client's file was left out for
	source  string                  // see Source
}

// Processes says how child processes start and where they leave their traces.
type Processes struct {
	// Directory for one log file per server with what it wrote to standard error. When empty, these lines only go to
	// the gateway's log.
	LogDir string `yaml:"log_dir" env:"MCP_LOG_DIR" path:"true" example:"~/.mcp/logs"`
	// Most bytes of one server's log file; then it is renamed to NAME.log.1, replacing an older one.
	LogSize Size `yaml:"log_size" default:"10MiB" min:"64KiB" max:"10GiB"`
	// Directory for one file per running server with its process id. When empty none are written.
	PidDir string `yaml:"pid_dir" env:"MCP_PID_DIR" path:"true" example:"~/.mcp/pids"`
	// Directory for the packages of npx and uvx commands that are fetched beforehand (sandbox.fetch). Programs in a sandbox
	// must not be able to write there. When empty it is packages beside state.path, or in the user's directory for state.
	PackageDir string `yaml:"package_dir" path:"true" example:"/var/lib/dragoman/packages"`
	// Whether servers start all at once. When false they start one after the other in the order of their names, each
	// when the one before it is ready or has used up its startup_timeout.
	Parallel bool `yaml:"parallel" default:"true" env:"MCP_PARALLEL_STARTUP"`
}

// Names says what tools and prompts are called.
type Names struct {
	// What stands between the name of a server and the name of its tool. One to four characters of _ - . and /.
	Separator string `yaml:"separator" default:"__"`
	// Most characters of a name as a client sees it. Longer ones are cut and given a short digest. Model APIs accept 64.
	MaxLength int `yaml:"max_length" default:"64" min:"24" max:"128"`
}

// Catalog says how the lists of all servers are gathered and for how long they hold.
type Catalog struct {
	// For how long a list may be used before it is asked for again. A change that a server announces counts at once.
	TTL time.Duration `yaml:"ttl" default:"5m" min:"1s" max:"24h"`
	// How long the answer to a list request waits for servers that have not answered yet. Those that are late are
	// named in the answer's _meta, with their last known list if there is one.
	ListDeadline time.Duration `yaml:"list_deadline" default:"5s" min:"10ms" max:"5m"`
	// Most entries on one page of a list.
	PageSize int `yaml:"page_size" default:"1000" min:"1" max:"100000"`
}

// Limits are bounds on what a client, or a server's answer, can make the gateway hold.
type Limits struct {
	// Most bytes of one message from a client.
	Body Size `yaml:"body" default:"4MiB" min:"1KiB" max:"1GiB" aka:"max_body,body_size"`
	// Deepest nesting of one message.
	Depth int `yaml:"depth" default:"128" min:"8" max:"1000"`
	// Most bytes of one message from a server.
	UpstreamResponse Size `yaml:"upstream_response" default:"64MiB" min:"1KiB" max:"1GiB"`
	// Most bytes of the headers of one HTTP request.
	Header Size `yaml:"header" default:"64KiB" min:"4KiB" max:"1MiB"`
	// How long the headers of a request may take to arrive.
	HeaderTimeout time.Duration `yaml:"header_timeout" default:"10s" min:"100ms" max:"5m"`
	// How long the body of a request may take to arrive.
	BodyTimeout time.Duration `yaml:"body_timeout" default:"30s" min:"100ms" max:"10m"`
	// How long one write to a client may take before the client counts as gone.
	WriteTimeout time.Duration `yaml:"write_timeout" default:"30s" min:"100ms" max:"10m"`
	// How long a connection between two requests is kept.
	IdleTimeout time.Duration `yaml:"idle_timeout" default:"2m" min:"1s" max:"1h"`
	// How often a quiet stream is given a sign of life, so that proxies keep it and a gone client is noticed.
	KeepAlive time.Duration `yaml:"keep_alive" default:"15s" min:"1s" max:"10m"`
	// Most connections at once.
	Connections int `yaml:"connections" default:"16384" min:"1" max:"1000000"`
	// Most calls being answered at once, over all clients.
	InFlight int `yaml:"in_flight" default:"4096" min:"1" max:"1000000"`
	// Most sessions at once.
	Sessions int `yaml:"sessions" default:"10000" min:"1" max:"10000000"`
	// Most streams (SSE, WebSocket, subscriptions) that one principal holds at once. Without tokens all callers are one
	// principal.
	StreamsPerPrincipal int `yaml:"streams_per_principal" default:"10000" min:"1" max:"1000000"`
	// Most events kept per session for a client that comes back with Last-Event-ID.
	ReplayEvents int `yaml:"replay_events" default:"256" min:"0" max:"100000"`
	// Most bytes kept per session for a client that comes back with Last-Event-ID.
	ReplayBytes Size `yaml:"replay_bytes" default:"1MiB" min:"0" max:"1GiB"`
	// Most calls that wait at once for input which the client was asked for.
	Parked int `yaml:"parked" default:"1000" min:"1" max:"1000000"`
}

// Session says how long a client's session and a call that waits for input last.
type Session struct {
	// Key material for session ids and for the state that clients carry, at least 32 characters. Replicas of one
	// gateway need the same. When empty a random one is made at each start, and sessions end with the process.
	Secret Secret `yaml:"secret" example:"${SESSION_SECRET}"`
	// How long a session lasts after its last request.
	TTL time.Duration `yaml:"ttl" default:"1h" min:"1s" max:"720h"`
	// How long a call waits for input that the client was asked for. Then it ends with an error; it is never run again
	// by the gateway.
	InputWait time.Duration `yaml:"input_wait" default:"10m" min:"1s" max:"24h"`
}

// Log says what is logged. Secrets never are.
type Log struct {
	// Least level that is written.
	Level string `yaml:"level" default:"info" enum:"debug|info|warn|error" env:"MCP_LOG_LEVEL"`
	// One JSON object per line, or text to be read by people.
	Format string `yaml:"format" default:"json" enum:"json|text"`
}

// Telemetry says where metrics and traces go.
type Telemetry struct {
	// Whether /metrics answers, in the Prometheus text format.
	Metrics bool `yaml:"metrics" default:"true"`
	// Whether /debug/pprof answers with Go profiles, to callers who may call.
	Profiling bool `yaml:"profiling" default:"false"`
	// Base URL of an OTLP/HTTP collector that traces are sent to. When empty none are sent.
	OTLPEndpoint string `yaml:"otlp_endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" example:"http://127.0.0.1:4318"`
	// Headers for the collector. In the environment variable they are written as name=value,name=value.
	OTLPHeaders map[string]Secret `yaml:"otlp_headers" env:"OTEL_EXPORTER_OTLP_HEADERS" example:"{x-api-key: \"${OTLP_KEY}\"}"`
	// Name of this service in traces.
	ServiceName string `yaml:"service_name" default:"dragoman" env:"OTEL_SERVICE_NAME"`
	// Part of the traces that begin here which is kept, from 0 to 1. A trace that a client began follows the client.
	Sample float64 `yaml:"sample" default:"1" min:"0" max:"1"`
}

// Reload says what a changed configuration may change while the gateway runs.
type Reload struct {
	// Whether a reload may take guards away: ways to show who calls, policies, sandboxes, the audit log and the like, all
	// of which docs/operations.md lists. When false, such a configuration is refused whole, each guard that would be less
	// is named, and a restart takes it. What counts is the value that the gateway was started with.
	MayLowerSafety bool `yaml:"may_lower_safety" default:"false" aka:"allow_downgrade,lower_safety"`
}

// Shutdown says how the gateway ends.
type Shutdown struct {
	// How long calls under way may go on after SIGTERM. Then they end with an error.
	DrainTimeout time.Duration `yaml:"drain_timeout" default:"30s" min:"0s" max:"1h"`
}
