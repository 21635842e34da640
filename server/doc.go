// Package server is what an MCP server in Go starts from. It puts around the
// server of the official Go SDK what every server in production needs anyway:
// settings that are read strictly, tools that say what they do, budgets, cursors,
// errors that leak nothing, health, metrics, and a guarded way to the network.
//
// A server is made by one function:
//
//	func New(env *server.Env) (*server.Server, error)
//
// serve.Main runs it alone, over stdio or HTTP; the gateway runs the same value
// in its own process. The servers that are built into Dragoman are made with
// this package and nothing else.
//
// The package does not know what a server is for, which transport carries it,
// or whether a gateway stands in front of it.
package server
