package corpus

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed destinations.txt
var destinations string

//go:embed statements.txt
var statements string

//go:embed secrets.txt
var secrets string

// Destination is a URL that somebody's tests, or a list of attacks, say must be closed or open.
type Destination struct {
	Source string
	Open   bool
	URL    string
	// Answers are what its host means, when that is a name.
	Answers []string
}

// Destinations are transcribed as facts from six corpora and from what was measured for this project.
func Destinations() ([]Destination, error) {
	var all []Destination
	source, open := "", false
	for line := range strings.Lines(destinations) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			kind, name, _ := strings.Cut(line, " ")
			source, open = name, kind == "open"
			continue
		}
		address, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("read destination %s: %w", quoted, err)
		}
		all = append(all, Destination{source, open, address, strings.Fields(line[len(quoted):])})
	}
	return all, nil
}

// Statements are SQL for SQLite that did more than read, or reached outside the file, in other servers of this kind. {DIR}
// stands for a directory, and the database has a table t, a view v and a full text index f.
func Statements() ([]string, error) {
	var all []string
	for line := range strings.Lines(statements) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		text, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("read statement %s: %w", line, err)
		}
		all = append(all, text)
	}
	return all, nil
}

// Secrets are words that tokens have been signed with in manuals, examples and appliances.
func Secrets() []string { return strings.Fields(secrets) }

// Climbs are paths that lead out of where they begin, to a target given without a slash at its front: each way to write a
// step up, a separator and an end that some server has taken for another.
func Climbs(target string) []string {
	up := []string{"..", "%2e%2e", "%252e%252e", ".%2e", "%c0%ae%c0%ae", "%u002e%u002e", "..;", "....//..", "\uff0e\uff0e", "..\u200b", ".. ", "..\x00", "...", "\u2025"}
	separators := []string{"/", "//", "/./", "\\", "%2f", "%252f", "%5c", "%c0%af", "\u2215", "\uff0f", "\u2044"}
	all := []string{"/" + target, "//" + target, "///" + target, "\\" + target, "/./" + target, "/../" + target, "~/" + target, "~root/../" + target,
		"file:///" + target, "file://localhost/" + target, "\\\\?\\" + target, "C:\\" + target, "/proc/self/root/" + target, "/proc/1/root/" + target, "/dev/fd/../../../" + target}
	for _, u := range up {
		for _, s := range separators {
			for _, depth := range []int{1, 8} {
				climb := strings.Repeat(u+s, depth)
				all = append(all, climb+strings.ReplaceAll(target, "/", s), "docs"+s+climb+target+"%00.txt", climb+target+s)
			}
		}
	}
	return all
}
