// Package backend is what stands between a server and what it depends on: pools
// of connections, a cache, a circuit breaker, retries, and a limit of the pace.
// Each works alone; their option structs can be sections of a server's settings.
//
// It knows nothing of MCP, and it does not know what is called: what is safe to
// repeat and what counts as a failure is said by the caller.
package backend
