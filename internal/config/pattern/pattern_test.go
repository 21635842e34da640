package pattern_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPatterns(t *testing.T) {
	tests := []struct{ pattern, yes, no string }{
		{"read", "read", "rea read2 xread"},
		{"files__*", "files__ files__read", "file__read"},
		{"files__file:///data/*", "files__file:///data/a/b", "files__file:///etc"},
		{"*a*b*", "ab xaxbx aab abb", "ba a b"},
		{"a*b*c", "abc aXbXbXc abcbc", "abcb ac"},
		{"v?", "v1 v2", "v v12"},
		{"*", "a ab", ""},
		{"a**", "a ab", "b"},
	}
	for _, tt := range tests {
		for _, name := range strings.Fields(tt.yes) {
			if !pattern.Match([]string{"none", tt.pattern}, name) {
				t.Errorf("%q does not match %q", tt.pattern, name)
			}
		}
		for _, name := range strings.Fields(tt.no) {
			if pattern.Match([]string{tt.pattern}, name) {
				t.Errorf("%q matches %q", tt.pattern, name)
			}
		}
	}
	if pattern.Match(nil, "a") || !pattern.Match([]string{"*"}, "") || !pattern.Match([]string{""}, "") {
		t.Error("the empty cases are wrong")
	}
}

func TestAPatternCannotTakeForever(t *testing.T) {
	hostile := []string{strings.Repeat("*a", 128) + "b"}
	start := time.Now()
	if pattern.Match(hostile, strings.Repeat("a", 4096)) {
		t.Error("a name without b matches a pattern that ends in b")
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
}
