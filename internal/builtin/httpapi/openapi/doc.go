// Package openapi reads descriptions of HTTP APIs (OpenAPI 3.0, 3.1 and 2.0) and
// writes the requests of their operations.
//
//	text ─► tree ─► Document ─► Operation ─► Request
//	        (JSON)   coverage    schemas      path, query, header, cookie, body
//
// The document is read as a tree and each operation is taken from it by itself:
// what is wrong in one operation costs that operation and is reported, and the
// rest of the document works. Nothing outside of the text is ever read: a
// reference to a file or to the network is a reason to leave an operation out.
//
// The package does not know where the API is, who calls it or with which
// credentials, and sends nothing.
package openapi
