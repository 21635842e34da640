package clients

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/dialect"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

const preamble = `# Made by dragoman import. The manual of this file is docs/config.md.
# yaml-language-server: $schema=https://raw.githubusercontent.com/dragoman-mcp/dragoman/main/docs/dragoman.schema.json
`

// Variable is a secret that was moved out of a file: the environment variable that the file now refers to.
type Variable struct {
	Name  string
	Value config.Secret
}

// Render writes a file with the servers, each with a comment that says where it came from. With references set, what looks
// like a secret in env and headers is replaced by ${NAME}, and the variables that then have to be set come beside the
// file; otherwise every value stays as it is, and the file has to be kept like a secret.
func Render(servers []Server, references bool) ([]byte, []Variable, error) {
	configs := make([]config.Server, len(servers))
	comments := make([]string, len(servers))
	var variables []Variable
	for i, s := range servers {
		configs[i] = s.Config
		configs[i].Name = s.Name
		comments[i] = fmt.Sprintf("From %s, %s", s.Title, s.Place.File)
		if s.Original != s.Name {
			comments[i] += fmt.Sprintf(", where it is called %q", s.Original)
		}
		if references {
			configs[i], variables = withReferences(configs[i], variables)
		}
	}
	text, err := render(configs, comments)
	return text, variables, err
}

// render writes servers, with the comment of each if there is one.
func render(servers []config.Server, comments []string) ([]byte, error) {
	list := &yaml.Node{Kind: yaml.MappingNode}
	for i, s := range servers {
		key := text(s.Name)
		if comments != nil {
			key.HeadComment = "# " + strings.Join(strings.Fields(comments[i]), " ")
		}
		list.Content = append(list.Content, key, section(reflect.ValueOf(s)))
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("servers"), list}}
	var out bytes.Buffer
	out.WriteString(preamble)
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("write servers as YAML: %w", err)
	}
	return out.Bytes(), enc.Close()
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if strings.Contains(s, "\n") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// section writes what differs from the default.
func section(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range strict.Fields(v.Type()) {
		member := v.FieldByIndex(f.Index)
		if member.IsZero() || fmt.Sprint(member) == f.Default {
			continue
		}
		of := value(member)
		if of.Kind == yaml.MappingNode && len(of.Content) == 0 {
			continue // a section whose members all have their defaults
		}
		n.Content = append(n.Content, text(f.Key), of)
	}
	return n
}

// value writes one value in the form that a person would write.
func value(v reflect.Value) *yaml.Node {
	if d, ok := v.Interface().(time.Duration); ok {
		return text(duration(d))
	}
	switch v.Kind() {
	case reflect.Struct:
		n := section(v)
		n.Style = yaml.FlowStyle
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			n.Content = append(n.Content, value(v.Index(i)))
		}
		return n
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			n.Content = append(n.Content, text(name.String()), value(v.MapIndex(name)))
		}
		return n
	case reflect.String:
		return text(v.String())
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v.Interface())}
	}
}

// duration leaves out the zeros that String adds: 5m, not 5m0s.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var (
	secretName  = regexp.MustCompile(`(?i)(token|secret|passw|passphrase|credential|api[_-]?key|access[_-]?key|private[_-]?key|[_-]key$|^key$|auth|cookie|dsn|pat$|database_url|connection_string)`)
	secretValue = regexp.MustCompile(`(gh[opusr]_[A-Za-z0-9]{20}|github_pat_|sk-[A-Za-z0-9_-]{16}|xox[abprs]-|AKIA[0-9A-Z]{16}|eyJ[A-Za-z0-9_-]{10,}\.|glpat-|(?i:api[_-]?key|token|secret|password)=[^$&\s]{6,}|://[^/\s:@]+:[^/\s@$]+@)`)
	scheme      = regexp.MustCompile(`^(?i:bearer|basic|token|apikey) `)
)

// looksSecret tells whether a text has the form of a well-known kind of key.
func looksSecret(text string) bool { return secretValue.MatchString(text) }

// withReferences moves the secrets of a server into variables.
func withReferences(s config.Server, variables []Variable) (config.Server, []Variable) {
	s.Env, s.Headers = maps.Clone(s.Env), maps.Clone(s.Headers)
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		value := s.Env[name].Reveal()
		if movable(value) && (secretName.MatchString(name) || looksSecret(value)) {
			variables, s.Env[name] = variable(variables, s.Name, dialect.Variable(name), value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		value := s.Headers[name].Reveal()
		prefix := scheme.FindString(value)
		if rest := strings.TrimPrefix(value, prefix); movable(rest) && (secretName.MatchString(name) || prefix != "" || looksSecret(rest)) {
			var reference config.Secret
			variables, reference = variable(variables, s.Name, dialect.Variable(s.Name+"_"+name), rest)
			s.Headers[name] = config.Secret(prefix) + reference
		}
	}
	return s, variables
}

// movable tells whether a value is a plain text: there is something, and it is no reference already.
func movable(value string) bool {
	return value != "" && !strings.Contains(strings.ReplaceAll(value, "$$", ""), "${")
}

// variable finds or adds the variable for a value, under a name that no other value has.
func variable(variables []Variable, server, name, value string) ([]Variable, config.Secret) {
	// The value leaves the file, where $$ was a $.
	value = strings.ReplaceAll(value, "$$", "$")
	candidates := []string{name, dialect.Variable(server + "_" + name)}
	for i := 0; ; i++ {
		if i >= len(candidates) {
			candidates = append(candidates, candidates[1]+"_"+strconv.Itoa(i))
		}
		known := slices.IndexFunc(variables, func(v Variable) bool { return v.Name == candidates[i] })
		if known < 0 {
			variables = append(variables, Variable{candidates[i], config.Secret(value)})
		} else if variables[known].Value.Reveal() != value {
			continue
		}
		return variables, config.Secret("${" + candidates[i] + "}")
	}
}
