// Package faults drives the real program from outside while what it depends on
// breaks: servers that die, hang, lie, answer late or twice, configurations that
// are wrong, clients that do not read or send without end, signals at the wrong
// moment. Whatever happens, every call has exactly one answer, that of its own
// caller, and nothing that was healthy notices.
//
// Servers and clients are the test's own, and share no code with the gateway:
// what each server executed and each client received is written down and
// compared. DRAGOMAN_FAULTS=long runs everything with every kind of server;
// without it a minute has to do (make test-faults, make test).
//
// The package has tests only. It does not know how the gateway is built.
package faults
