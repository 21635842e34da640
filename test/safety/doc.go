// Package safety holds the built program to what docs/security.md promises of it
// as a whole: that no secret of a caller, a server or its own configuration gets
// into what it writes; that nothing which it has acknowledged is lost when it is
// killed; that a cancelled call ends at the server and a revoked credential on
// every replica; that a sandboxed program reaches what it was allowed and nothing
// else; and that nothing outlives it.
//
// It knows the program from outside only: its files, its listeners, its exit
// code. It does not know how any of this is done, and measures no speed.
//
// DRAGOMAN_CANARIES, DRAGOMAN_TEST_KILLS and DRAGOMAN_CANCELS say how much is
// tried where a release wants more than CI has time for.
package safety
