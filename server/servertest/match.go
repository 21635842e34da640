package servertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// play plays the steps in their order.
func play(t *testing.T, c *Client, steps []step) {
	t.Helper()
	kept := map[string]any{}
	for _, s := range steps {
		if err := playStep(t, c, s, kept); err != nil {
			t.Errorf("line %d, %s: %v", s.line, s.name, err)
		}
	}
}

func playStep(t *testing.T, c *Client, s step, kept map[string]any) error {
	t.Helper()
	params := strings.TrimSpace(s.params)
	if params == "" {
		params = "{}"
	}
	var value any
	if err := json.Unmarshal([]byte(params), &value); err != nil {
		return fmt.Errorf("params %s: %w", params, err)
	}
	sent, err := json.Marshal(filled(value, kept))
	if err != nil {
		return err
	}
	raw, err := c.Request(t.Context(), s.method, sent)
	switch {
	case err != nil && !s.fails:
		return fmt.Errorf("%s %s: %w", s.method, sent, err)
	case err != nil:
		var wire *mcp.Error
		if !errors.As(err, &wire) {
			return fmt.Errorf("%s %s: %w", s.method, sent, err)
		}
		if raw, err = json.Marshal(map[string]any{"code": wire.Code, "message": wire.Message, "data": wire.Data}); err != nil {
			return err
		}
	case s.fails:
		return fmt.Errorf("%s %s: got %s, want an error", s.method, sent, raw)
	}
	if name, ok := value.(map[string]any)["name"].(string); ok && s.method == "tools/call" && !s.fails {
		if err := c.fits(t.Context(), name, raw); err != nil {
			return err
		}
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(raw, &got), json.Unmarshal([]byte(s.want), &want)); err != nil {
		return err
	}
	m := matcher{kept: kept}
	if why := m.match(got, filled(want, kept), ""); why != "" {
		return fmt.Errorf("%s %s:\n%s\ngot %s", s.method, sent, why, raw)
	}
	return nil
}

// filled replaces "$name" by what was kept under name.
func filled(v any, kept map[string]any) any {
	switch v := v.(type) {
	case string:
		if name, ok := strings.CutPrefix(v, "$"); ok && kept[name] != nil {
			return kept[name]
		}
	case []any:
		for i := range v {
			v[i] = filled(v[i], kept)
		}
	case map[string]any:
		for k := range v {
			v[k] = filled(v[k], kept)
		}
	}
	return v
}

type matcher struct{ kept map[string]any }

// match returns what is different, "" for nothing.
func (m matcher) match(got, want any, path string) string {
	switch want := want.(type) {
	case string:
		return m.matchText(got, want, path)
	case []any:
		list, ok := got.([]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want a list", path, got)
		}
		return m.matchList(list, want, path)
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", path, got)
		}
		for k, v := range want {
			if _, ok := object[k]; !ok {
				return fmt.Sprintf("%s.%s is not there, want %v", path, k, v)
			}
			if why := m.match(object[k], v, path+"."+k); why != "" {
				return why
			}
		}
		return ""
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Sprintf("%s is %v, want %v", path, got, want)
	}
	return ""
}

func (m matcher) matchText(got any, want, path string) string {
	if want == "*" {
		return ""
	}
	if name, ok := strings.CutPrefix(want, "="); ok {
		m.kept[name] = got
		return ""
	}
	text, ok := got.(string)
	expression, pattern := strings.CutPrefix(want, "~")
	if !pattern {
		if text != want || !ok {
			return fmt.Sprintf("%s is %q, want %q", path, got, want)
		}
		return ""
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return fmt.Sprintf("%s: %v", path, err)
	}
	if !ok || !re.MatchString(text) {
		return fmt.Sprintf("%s is %q, which %q does not match", path, got, expression)
	}
	return ""
}

func (m matcher) matchList(got, want []any, path string) string {
	open := len(want) > 0 && want[len(want)-1] == "..."
	if open {
		want = want[:len(want)-1]
	}
	if len(got) < len(want) || !open && len(got) != len(want) {
		return fmt.Sprintf("%s has %d elements, want %d", path, len(got), len(want))
	}
	for i := range want {
		if why := m.match(got[i], want[i], fmt.Sprintf("%s[%d]", path, i)); why != "" {
			return why
		}
	}
	return ""
}
