// Package slack says how late timers may be: those of the gateway more than those of
// the processes that it starts. It does not know what either of them does.
package slack
