// Package matrix tests the gateway between every kind of client and every kind
// of server: each revision of the protocol on each transport that it has, in
// both directions, with peers of its own that speak on the wire what that
// revision demands and a little more. It also runs the real program between
// peers that the project did not write.
//
// The peers share no code with the gateway: they read JSON with encoding/json,
// and write frames, events and headers themselves. What the run finds to work
// is docs/compatibility.md; go test -update writes it anew.
//
// The package has tests only, and knows nothing of how the gateway is built.
package matrix
