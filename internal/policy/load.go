package policy

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	exp "github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
)

//go:embed schema.cedarschema
var schemaText string

//go:embed roles.cedar
var rolesText string

// maxPolicyFile is the most bytes of one file of policies.
const maxPolicyFile = 4 << 20

// reserved begins the ids of the roles' own policies.
const reserved = "role:"

// Fault is what is wrong with a policy.
type Fault struct {
	// Place is file:line, or the name of the policy's text and its line.
	Place   string
	Problem string
}

// Error implements error.
func (f Fault) Error() string { return f.Place + ": " + f.Problem }

// loader gathers rules, and everything that is wrong with them.
type loader struct {
	cfg    *config.Config
	rules  []*rule
	ids    map[cedar.PolicyID]string // to their places
	faults []error
	schema map[string]*resolved.Schema // by the type of the arguments
}

// load reads the roles, and policies for cfg, of which section is the path. Its error joins all Faults.
func load(cfg *config.Config, section string, sources []config.PolicySource) ([]*rule, error) {
	l := &loader{cfg: cfg, ids: make(map[cedar.PolicyID]string), schema: make(map[string]*resolved.Schema)}
	l.text("roles", []byte(rolesText), true)
	for i, source := range sources {
		if source.Text != "" {
			l.text(source.Name, []byte(source.Text), false)
			continue
		}
		text, err := readPolicies(source.File)
		if err != nil {
			l.faults = append(l.faults, fmt.Errorf("%s[%d]: %w", section, i, err))
			continue
		}
		l.text(filepath.Base(source.File), text, false)
	}
	return l.rules, errors.Join(l.faults...)
}

func readPolicies(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxPolicyFile {
		return nil, fmt.Errorf("read policies: %s is no file of at most %d bytes", name, maxPolicyFile)
	}
	return os.ReadFile(name)
}

var parsePlace = regexp.MustCompile(`^parser error: parse error at <input>:(\d+):\d+ (.*)$`)

// text adds the policies of one document. Of what does not parse the first fault is known.
func (l *loader) text(name string, text []byte, own bool) {
	policies, err := cedar.NewPolicyListFromBytes(name, text)
	if err != nil {
		place, problem := name, err.Error()
		if m := parsePlace.FindStringSubmatch(problem); m != nil {
			place, problem = name+":"+m[1], "does not parse at "+m[2]
		}
		l.faults = append(l.faults, Fault{place, problem})
		return
	}
	for _, p := range policies {
		l.policy(p, own)
	}
}

func (l *loader) policy(p *cedar.Policy, own bool) {
	place := p.Position().Filename + ":" + strconv.Itoa(p.Position().Line)
	id := cedar.PolicyID(place)
	if given, ok := p.Annotations()["id"]; ok {
		id = cedar.PolicyID(given)
	}
	switch was := l.ids[id]; {
	case was != "":
		l.fault(place, fmt.Sprintf("the id %q is already that of %s", id, was))
	case !own && strings.HasPrefix(string(id), reserved), strings.HasPrefix(string(id), flow.RulePrefix), id == RuleOpen, id == RuleDefault, id == RuleCredential, id == "":
		l.fault(place, fmt.Sprintf("the id %q is reserved", id))
	}
	l.ids[id] = place
	r := newRule(p, id)
	if _, ask := p.Annotations()[askAnnotation]; ask && r.tree.Effect != exp.EffectForbid {
		l.fault(place, "@ask is on a permit, and only a forbid can be left to the user")
	}
	l.check(r)
	l.rules = append(l.rules, r)
}

func (l *loader) fault(place, problem string) { l.faults = append(l.faults, Fault{place, problem}) }

// check holds a rule against the schema, and its names against the configuration.
func (l *loader) check(r *rule) {
	s, err := l.schemaFor(shapeOf(r.tree).String())
	if err != nil {
		l.fault(r.place, "the types of context.arguments contradict each other: "+err.Error())
		return
	}
	if err := validate.New(s).Policy(string(r.id), r.tree); err != nil {
		said := make(map[string]bool) // the same for many actions
		for _, line := range strings.Split(err.Error(), "\n") {
			line, _, _ = strings.Cut(strings.TrimPrefix(line, fmt.Sprintf("for policy `%s`, ", r.id)), " for Action::")
			if !said[line] {
				l.fault(r.place, line)
			}
			said[line] = true
		}
	}
	for _, uid := range entitiesOf(r.tree) {
		if problem := l.unknown(uid); problem != "" {
			l.fault(r.place, problem)
		}
	}
}

func (l *loader) schemaFor(arguments string) (*resolved.Schema, error) {
	if s := l.schema[arguments]; s != nil {
		return s, nil
	}
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(strings.Replace(schemaText, "arguments: ARGUMENTS", "arguments: "+arguments, 1))); err != nil {
		return nil, err
	}
	out, err := s.Resolve()
	if err != nil {
		return nil, err
	}
	l.schema[arguments] = out
	return out, nil
}

// entitiesOf lists the entities that a policy names.
func entitiesOf(p *exp.Policy) []cedar.EntityUID {
	var out []cedar.EntityUID
	for _, scope := range []exp.IsScopeNode{p.Principal, p.Resource} {
		switch s := scope.(type) {
		case exp.ScopeTypeEq:
			out = append(out, s.Entity)
		case exp.ScopeTypeIn:
			out = append(out, s.Entity)
		case exp.ScopeTypeIsIn:
			out = append(out, s.Entity)
		}
	}
	for _, c := range p.Conditions {
		exp.Inspect(exp.NewNode(c.Body), func(n exp.IsNode) bool {
			if v, ok := n.(exp.NodeValue); ok {
				if uid, ok := v.Value.(cedar.EntityUID); ok {
					out = append(out, uid)
				}
			}
			return true
		})
	}
	return out
}

// unknown says what is wrong with a name; a policy about a server that does not
// exist protects nothing.
func (l *loader) unknown(uid cedar.EntityUID) string {
	id := string(uid.ID)
	server, name, cut := strings.Cut(id, "/")
	switch uid.Type {
	case "Server":
		server = id
	case "Tool", "Prompt", "Resource":
		if !cut || name == "" {
			return fmt.Sprintf("%s: write it like %s::\"server/name\"", uid, uid.Type)
		}
	case "View":
		if _, ok := l.cfg.Views[id]; !ok {
			return fmt.Sprintf("there is no view %q", id)
		}
		return ""
	default:
		return ""
	}
	if _, ok := l.cfg.Servers[server]; !ok {
		return fmt.Sprintf("%s: there is no server %q", uid, server)
	}
	return ""
}

// actionGroups reads the schema's actions, which an evaluation looks up.
func actionGroups() (map[cedar.EntityUID]cedar.Entity, map[Action][]cedar.EntityUID, error) {
	l := &loader{schema: make(map[string]*resolved.Schema)}
	s, err := l.schemaFor("{}")
	if err != nil {
		return nil, nil, err
	}
	entities, groups := make(map[cedar.EntityUID]cedar.Entity), make(map[Action][]cedar.EntityUID)
	for uid, a := range s.Actions {
		entities[uid] = a.Entity
		for parent := range a.Entity.Parents.All() {
			groups[Action(uid.ID)] = append(groups[Action(uid.ID)], parent)
		}
	}
	return entities, groups, nil
}
