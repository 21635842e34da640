package scan

import (
	"bytes"
	"strings"
)

// callWords are the words, besides those of names of secrets, that functions are
// called by which ask for a secret or fetch one.
var callWords = map[string]bool{
	"ask": true, "env": true, "environ": true, "fetch": true, "find": true, "for": true, "from": true, "generate": true, "get": true,
	"getenv": true, "getpass": true, "input": true, "load": true, "lookup": true, "make": true, "new": true, "os": true, "process": true,
	"prompt": true, "random": true, "read": true, "self": true, "stdin": true, "sys": true, "system": true, "this": true, "user": true,
}

// environments begin what is read from the environment in programs.
var environments = [...]string{"process.env.", "import.meta.env."}

// isCode tells whether a value that stands in no quotes is not a secret and is
// where a program gets one: passwordPrompt(), getenv("…, process.env.DB_PASSWORD.
// Of a call it is the part before its arguments, in which there has to be nothing
// but words that such calls are made of: no password is let through because of a
// bracket. after is what follows the value.
func (s *Scanner) isCode(value, after string) bool {
	for _, begin := range environments {
		if name, ok := strings.CutPrefix(value, begin); ok {
			return s.meaning(name) != nothing && shouted(name)
		}
	}
	name, call := strings.CutSuffix(value, "(")
	if !call || name == "" || len(name) > maxName || after == "" || strings.IndexByte(`)"'`+"`\\", after[0]) < 0 {
		return false
	}
	if after[0] == ')' && len(after) > 1 && classes[after[1]]&letter != 0 {
		return false // it goes on, and a password may
	}
	for i := range len(name) {
		if c := name[i]; classes[c]&letter == 0 && c != '_' && c != '.' || classes[c]&digit != 0 {
			return false
		}
	}
	var buf [2 * maxName]byte
	for rest := fold(buf[:0], name); len(rest) > 0; {
		part, next, _ := bytes.Cut(rest, separator[:])
		if !callWords[string(part)] && words[string(part)] == nothing {
			return false
		}
		rest = next
	}
	return true
}

// shouted tells whether a name is one that variables of the environment have, without
// digits, which it hardly has and a secret nearly always.
func shouted(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'A' || c > 'Z') && c != '_' {
			return false
		}
	}
	return true
}
