package supervisor

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
)

// Remedy says what to do, and is empty where the reason says it.
func (e *FetchError) Remedy() string {
	var exit *ExitError
	switch {
	case errors.Is(e.Err, errTime):
		return fmt.Sprintf("if it needs longer than %s, set sandbox.fetch.timeout", e.rules.Timeout)
	case errors.Is(e.Err, errSize):
		return fmt.Sprintf("if it needs more than %s, set sandbox.fetch.size", mebibytes(e.rules.Bytes))
	case errors.Is(e.Err, errTraffic):
		return fmt.Sprintf("if it needs more than %s of downloads, set sandbox.fetch.size", mebibytes(e.rules.Bytes))
	case errors.Is(e.Err, syscall.ENOSPC):
		return diskRemedy
	case !errors.As(e.Err, &exit):
		return ""
	}
	return e.remedyFor(strings.ToLower(strings.Join(exit.Stderr, " ")))
}

const diskRemedy = "make room on the disk of processes.package_dir, and on that of the client's cache"

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// remedyFor is what to do when a client of a registry has ended with such words, which no client promises to keep to:
// what it said is told besides.
func (e *FetchError) remedyFor(said string) string {
	says := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(said) }
	from, where := "it may come from every public address and from no private one", "where it comes from"
	if len(e.Hosts) > 0 {
		where = strings.Join(e.Hosts, ", ")
		from = "it may only come from " + where
	}
	switch {
	case says(`no space left|\benospc\b`):
		return diskRemedy
	case !e.rules.Scripts && says(`no-build|source distribution`):
		return "it has to be built from source, which sandbox.fetch.scripts: true allows"
	case says(`\be?404\b|not found in the package registry|no matching (distribution|version)|no version matching`):
		text := "check its name and version, and that " + where + " has it"
		if !e.rules.Scripts && says(`no matching distribution`) {
			text += "; if it is there as source only, sandbox.fetch.scripts: true lets it be built"
		}
		return text
	case says(`\be?50[234]\b|bad gateway|gateway time-?out`): // of the gateway's proxy, or of the place
		return "check that " + where + " can be reached from here, and answers"
	}
	return from + ", unless sandbox.fetch.hosts says otherwise"
}
