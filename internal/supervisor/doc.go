// Package supervisor keeps child processes: it starts them on demand, restarts them with backoff, tells a crash loop from
// a crash, records their standard error, and stops each with everything that it started. It is the only package that
// starts processes.
//
// It does not know what is said over the pipes that it gives (no MCP, no JSON), which servers are configured, when a
// child is idle, or whether an answer was good: its owner decides when to ask for a process and when to stop it.
//
// # How no process is left behind
//
//	gateway ──socket──► guard ──► child A ──► grandchildren
//	                      │  └──► child B ──► grandchildren
//	                      └─────► a daemon of A (double fork, setsid): it comes back to the guard
//
// On Linux all children are started by one small process, the guard, which is this same binary started again with one
// argument (ShimMain). The guard is a child subreaper: the kernel gives it every process below it that loses its
// parent, so nothing that a child starts can leave the tree, whatever it does with sessions, groups or signals. The
// guard ends a child's whole part of the tree when the child has ended or is stopped, and the whole tree when its
// socket reports that the gateway is gone, which the kernel sees to even after kill -9.
//
// One guard serves all children, so a child costs one message to start and no memory. Whose a daemon is that came back
// to the guard is told by a mark that children inherit and cannot shed (mark_linux.go). The reasons and the
// measurements are in docs/decisions/process-guard.md.
//
// Other systems start children directly (direct.go) and promise less: on Unix the child's process group is ended when
// the child ends or is stopped, a daemon that left the group survives, and after kill -9 of the gateway the children
// only see the end of their input. On Windows only the child itself is ended.
//
// # Environment
//
// A child gets the variables named in environ.go and those of its Spec, nothing else: the gateway's own environment
// holds tokens.
package supervisor
