// Package parcel reads the command lines by which packages are fetched and started
// in one step (npx, npm exec, bunx, uvx, uv tool run, pipx run) and says how to do it in two: which
// commands fetch the package into a directory, from which hosts, and which program
// there is then started. It knows nothing of sandboxes and servers, starts no
// process and reaches for no network: whoever runs the commands does.
package parcel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Parcel is a package, or several, of which a program is started.
type Parcel struct {
	// Specs are what is fetched, as the registry's client takes it; the first is the package that is meant.
	Specs []string
	// Program is the program of it that is started. Empty is the one that the package itself is known for.
	Program string
	// Args are what the program gets.
	Args []string
	// Moving says that a spec may mean something else tomorrow, as name@latest does.
	Moving bool

	kind    kind
	tool    []string // the client: npm, bun, uv; pipx needs none
	python  string   // version or path that was asked for
	runtime bool     // bun is to run what asks for node
}

// kind is whose packages they are.
type kind string

const (
	npm  kind = "npm"
	bun  kind = "bun"
	uv   kind = "uv"
	pipx kind = "pipx"
)

// ErrOther is wrapped by the errors of Parse for what a launcher is asked for in a way that cannot be done in two steps.
var ErrOther = errors.New("cannot be fetched beforehand")

func other(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrOther, fmt.Sprintf(format, args...))
}

// Parse reads a command line. It is nil without an error when that is no launcher's.
func Parse(command []string) (*Parcel, error) {
	if len(command) == 0 {
		return nil, nil
	}
	first, rest := command[0], command[1:]
	beside := func(name string) []string {
		if strings.ContainsRune(first, '/') {
			return []string{filepath.Join(filepath.Dir(first), name)}
		}
		return []string{name}
	}
	second := ""
	if len(rest) > 0 {
		second = rest[0]
	}
	switch name := filepath.Base(first); {
	case name == "npx":
		return parseNpm(&Parcel{kind: npm, tool: beside("npm")}, rest)
	case name == "npm" && (second == "exec" || second == "x"):
		return parseExec(&Parcel{kind: npm, tool: []string{first}}, rest[1:])
	case name == "bunx":
		return parseBun(&Parcel{kind: bun, tool: beside("bun")}, rest)
	case name == "bun" && second == "x":
		return parseBun(&Parcel{kind: bun, tool: []string{first}}, rest[1:])
	case name == "pipx" && second == "run":
		return parsePipx(&Parcel{kind: pipx}, rest[1:])
	case name == "uvx":
		return parseUv(&Parcel{kind: uv, tool: beside("uv")}, rest)
	case name == "uv" && second == "tool" && len(rest) > 1 && rest[1] == "run":
		return parseUv(&Parcel{kind: uv, tool: []string{first}}, rest[2:])
	}
	return nil, nil
}

// option splits --name=value, or takes the value from the words that follow.
func option(word string, rest []string) (name, value string, left []string, err error) {
	name, value, inline := strings.Cut(word, "=")
	if inline {
		return name, value, rest, nil
	}
	if len(rest) == 0 {
		return name, "", nil, other("%s has no value", name)
	}
	return name, rest[0], rest[1:], nil
}

// options reads the options before a package of Python's, and returns what follows them: alone takes those without a
// value, take the others; each says whether it knows the option.
func options(words []string, alone func(word string) bool, take func(name, value string) bool) ([]string, error) {
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		word := words[0]
		if words = words[1:]; alone(word) {
			continue
		}
		name, value, left, err := option(word, words)
		if err != nil {
			return nil, err
		}
		if !take(name, value) {
			return nil, other("%s is not known here", name)
		}
		words = left
	}
	if len(words) == 0 {
		return nil, other("no package is named")
	}
	return words, nil
}

// parseNpm reads what follows npx or npm exec.
func parseNpm(p *Parcel, words []string) (*Parcel, error) {
	var err error
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		word, rest := words[0], words[1:]
		name, _, _ := strings.Cut(word, "=")
		words = rest
		switch {
		case word == "-y" || word == "--yes" || word == "-q" || word == "--quiet" || word == "--silent" || word == "-s":
			continue
		case name == "-p" || name == "--package":
			var spec string
			if _, spec, words, err = option(word, rest); err != nil {
				return nil, err
			}
			p.Specs = append(p.Specs, spec)
			continue
		case word == "--":
		default:
			return nil, other("%s is not known here", word)
		}
		break
	}
	return p.named(words)
}

// named takes what follows the options of a launcher of npm's packages: the package or, when that was an option, its
// program; and its arguments.
func (p *Parcel) named(words []string) (*Parcel, error) {
	if len(words) == 0 {
		return nil, other("no package is named")
	}
	if len(p.Specs) == 0 {
		p.Specs = words[:1:1]
	} else {
		p.Program = words[0]
	}
	p.Args = words[1:]
	for _, spec := range p.Specs {
		match := npmSpec().FindStringSubmatch(spec)
		if match == nil {
			return nil, other("%q is no package of a registry", spec)
		}
		p.Moving = p.Moving || match[2] != "" && !strings.ContainsAny(match[2][:1], "0123456789^~<>=*xX")
	}
	return p, nil
}

// parseExec reads what follows npm exec, which takes options that stand behind the package, up to --, for its own.
func parseExec(p *Parcel, words []string) (*Parcel, error) {
	p, err := parseNpm(p, words)
	if err != nil || slices.Index(words, "--") >= 0 && slices.Index(words, "--") < len(words)-len(p.Args)-1 {
		return p, err
	}
	for i, arg := range p.Args {
		if arg == "--" {
			p.Args = slices.Delete(slices.Clone(p.Args), i, i+1)
			break
		}
		if strings.HasPrefix(arg, "-") {
			return nil, other("%s behind the package is npm's own unless there is a -- before it", arg)
		}
	}
	return p, nil
}

// parseUv reads what follows uvx or uv tool run.
func parseUv(p *Parcel, words []string) (*Parcel, error) {
	var from string
	var with []string
	words, err := options(words, func(word string) bool {
		return word == "-q" || word == "--quiet" || word == "--no-progress"
	}, func(name, value string) bool {
		switch name {
		case "--from":
			from = value
		case "--with", "-w":
			with = append(with, strings.Split(value, ",")...)
		case "--python", "-p":
			p.python = value
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	p.Program, p.Args = words[0], words[1:]
	if from == "" {
		from = words[0]
		p.Program = name(from)
	}
	p.Specs = append([]string{from}, with...)
	for i, spec := range p.Specs {
		if !pythonSpec().MatchString(spec) {
			return nil, other("%q is no package of an index", spec)
		}
		name, version, versioned := strings.Cut(spec, "@")
		switch {
		case versioned && version == "latest":
			p.Specs[i], p.Moving = name, true
		case versioned:
			p.Specs[i] = name + "==" + version
		}
	}
	return p, nil
}

// npmSpec is NAME, NAME@VERSION or NAME@TAG with or without a scope; nothing else leads to a registry.
func npmSpec() *regexp.Regexp {
	return regexp.MustCompile(`^((?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][A-Za-z0-9._~-]*)(?:@([^@/:\s-][^@/:]*))?$`)
}

// pythonSpec is a requirement (PEP 508) without a URL and without markers, or uvx's NAME@VERSION.
func pythonSpec() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9._, -]*\])?\s*(?:@[A-Za-z0-9][A-Za-z0-9.+!]*|[=<>!~][0-9A-Za-z.*+!=<>~, ]*)?$`)
}

// name is that of the package that a spec means.
func name(spec string) string {
	if at := strings.LastIndex(spec, "@"); at > 0 {
		spec = spec[:at]
	}
	if end := strings.IndexAny(spec, "[=<>!~ "); end > 0 && !strings.HasPrefix(spec, "@") {
		spec = spec[:end]
	}
	return spec
}

// Key names the directory of a parcel: the same for all that fetch the same from the same place, whatever they do with
// it. env are variables of its server's own: who names another registry must not get what others have from theirs.
func (p *Parcel) Key(scripts bool, env map[string]string) string {
	text := fmt.Sprintf("%s\x00%s\x00%s\x00%v\x00%v", p.kind, strings.Join(p.Specs, "\x00"), p.python, p.Moving, scripts)
	for _, variable := range slices.Sorted(maps.Keys(env)) {
		if p.namesPlace(variable) {
			text += "\x00" + variable + "=" + env[variable]
		}
	}
	sum := sha256.Sum256([]byte(text))
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, strings.TrimLeft(name(p.Specs[0]), "@."))
	return readable[:min(len(readable), 40)] + "-" + hex.EncodeToString(sum[:8])
}

// namesPlace reports whether a variable says where the client fetches from.
func (p *Parcel) namesPlace(variable string) bool {
	prefix := map[kind]string{npm: "npm_config_", bun: "", uv: "uv_", pipx: "pip_"}[p.kind] // bun has npm's, too
	plain := strings.ReplaceAll(strings.ToLower(variable), "-", "_")
	return IsSetting(variable) && strings.HasPrefix(plain, prefix) &&
		regexp.MustCompile(`registry|index|find_links|userconfig|globalconfig|config_file$`).MatchString(plain)
}

// String is what is fetched, for people.
func (p *Parcel) String() string { return strings.Join(p.Specs, " and ") }
