// Package legacy is the bridge between the stateless core and peers that hold
// a session: the revisions 2024-11-05 to 2025-11-25, and anything that speaks
// over one lasting channel.
//
//	client of an old revision                                server of an old revision
//	  initialize, requests ──► Sessions/Session ──► Handler ... Client ──► initialize, requests
//	  elicitation/create   ◄── "input_required" ◄──         ◄── parks   ◄── elicitation/create
//
// Towards clients, [Server] opens sessions. A result that says input_required
// becomes requests on the client's open stream, and the call is made again with
// the answers until it is complete. Towards servers, [Client] is a Handler: a
// request that the server sends in mid-call parks the call, the caller gets
// input_required, and its retry finds the parked call by a sealed requestState.
// A parked call that is lost is an error; it is never made again silently.
//
// The package does not know how messages travel (transports give it Conns,
// Channels and Streams), nor which server a request is for.
package legacy
