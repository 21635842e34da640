package config

import (
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// maxEnvFile is the most bytes of an env_file.
const maxEnvFile = 1 << 20

// readEnvFile adds the variables of a server's env_file to those of env, which win.
func (c *Config) readEnvFile(s *Server) strict.Faults {
	if s.EnvFile == "" {
		return nil
	}
	path := "servers." + s.Name + ".env_file"
	data, err := strict.ReadFile(s.EnvFile, maxEnvFile)
	if err != nil {
		f := c.Fault(path, fmt.Sprintf("%s: %v", s.EnvFile, err), "check the path and who may read it")
		f.Unresolved = true
		return strict.Faults{f}
	}
	env, faults := parseEnv(s.EnvFile, path, string(data))
	maps.Copy(env, s.Env)
	s.Env = env
	return faults
}

// parseEnv reads lines of NAME=value as a shell would read simple assignments: blank lines and lines that begin with #
// are skipped, export may stand before a name, 'text' is taken as it is, "text" knows \n \r \t \" \\ \$, and a # after
// white space ends a value that is not quoted. Variables inside values are not replaced.
func parseEnv(file, path, text string) (map[string]Secret, strict.Faults) {
	env := map[string]Secret{}
	var faults strict.Faults
	fault := func(line int, problem, remedy string) {
		faults = append(faults, strict.Fault{Place: strict.Place{File: file, Line: line + 1}, Path: path,
			Problem: problem, Remedy: remedy})
	}
	if !utf8.ValidString(text) {
		fault(0, "is not UTF-8 text", "save the file as UTF-8")
		return env, faults
	}
	for number, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "export "))
		if line == "" || line[0] == '#' {
			continue
		}
		name, raw, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !ok || !environmentName.MatchString(name) {
			fault(number, "this line is not NAME=value", "write one variable per line; a comment begins with #")
			continue
		}
		value, ok := unquoteEnv(strings.TrimSpace(raw))
		if !ok {
			fault(number, "the value of "+name+" has no closing quote", "close it on the same line")
			continue
		}
		env[name] = Secret(value)
	}
	return env, faults
}

var envEscapes = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\"`, `"`, `\$`, "$")

func unquoteEnv(raw string) (string, bool) {
	if raw == "" {
		return "", true
	}
	switch raw[0] {
	case '\'':
		value, _, closed := strings.Cut(raw[1:], "'")
		return value, closed
	case '"':
		for i := 1; i < len(raw); i++ {
			switch raw[i] {
			case '\\':
				i++
			case '"':
				return envEscapes.Replace(raw[1:i]), true
			}
		}
		return "", false
	}
	for i := range raw {
		if raw[i] == '#' && (i == 0 || raw[i-1] == ' ' || raw[i-1] == '\t') {
			raw = raw[:i]
			break
		}
	}
	return strings.TrimSpace(raw), true
}
