package index

import "strings"

// A rule is a line of a .gitignore file, as gitignore(5) describes.
type rule struct {
	base  string // the directory of the file
	parts []string
	not   bool // takes up again what an earlier rule ignores
	dirs  bool // directories only
}

// maxRules bounds the rules of one file.
const maxRules = 10_000

// readRules reads the .gitignore of a directory. Lines that are no patterns match nothing.
func readRules(base, text string) []rule {
	var rules []rule
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasSuffix(line, `\ `) {
			line = strings.TrimRight(line, " ")
		}
		if line == "" || line[0] == '#' || len(rules) == maxRules {
			continue
		}
		r := rule{base: base}
		line, r.not = strings.CutPrefix(line, "!")
		line = strings.ReplaceAll(line, "[!", "[^")
		line, r.dirs = strings.CutSuffix(line, "/")
		line, rooted := strings.CutPrefix(line, "/")
		if line == "" {
			continue
		}
		r.parts = strings.Split(line, "/")
		if !rooted && len(r.parts) == 1 {
			r.parts = append([]string{"**"}, r.parts...)
		}
		if last := len(r.parts) - 1; r.parts[last] == "**" {
			r.parts = append(r.parts[:last:last], "*", "**") // something within, not the directory itself
		}
		rules = append(rules, r)
	}
	return rules
}

// ignored says whether rules, the later the stronger, ignore a key. What is in an ignored directory is ignored; whoever
// walks does not enter one.
func ignored(rules []rule, key string, dir bool) bool {
	for i := len(rules) - 1; i >= 0; i-- {
		r := rules[i]
		if r.dirs && !dir {
			continue
		}
		rel := key
		if r.base != "" {
			rel = strings.TrimPrefix(key, r.base+"/")
		}
		if matchParts(r.parts, strings.Split(rel, "/")) {
			return !r.not
		}
	}
	return false
}
