package config_test

import (
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

func TestAFilterChoosesTools(t *testing.T) {
	tests := []struct {
		name        string
		allow, deny []string
		yes, no     string
	}{
		{"nothing set shows all", nil, nil, "a b", ""},
		{"allow by name", []string{"read"}, nil, "read", "read2 write rea"},
		{"allow by pattern", []string{"read_*"}, nil, "read_ read_file read_a_b", "read xread_a"},
		{"deny wins", []string{"*"}, []string{"delete_*"}, "read", "delete_file delete_"},
		{"deny alone", nil, []string{"write"}, "read writes", "write"},
		{"one character", []string{"v?"}, nil, "v1 v2", "v v12"},
		{"stars in the middle and at both ends", []string{"*a*b*"}, nil, "ab xaxbx aab abb", "ba a b"},
		{"several stars go back only as far as needed", []string{"a*b*c"}, nil, "abc aXbXbXc abcbc", "abcb ac"},
		{"case counts", []string{"Read"}, nil, "Read", "read"},
		{"brackets are themselves", []string{"a[1]"}, nil, "a[1]", "a1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := config.Filter{Allow: tt.allow, Deny: tt.deny}
			for _, tool := range strings.Fields(tt.yes) {
				if !f.Allows(tool) {
					t.Errorf("%q is hidden by %+v", tool, f)
				}
			}
			for _, tool := range strings.Fields(tt.no) {
				if f.Allows(tool) {
					t.Errorf("%q is shown by %+v", tool, f)
				}
			}
		})
	}
}

func TestOnlyTheOperatorSaysWhatIsRepeatable(t *testing.T) {
	s := config.Server{ReadOnly: []string{"read_*"}, Idempotent: []string{"put"}}
	for tool, want := range map[string]bool{"read_file": true, "put": true, "write": false} {
		if got := s.Repeatable(tool); got != want {
			t.Errorf("Repeatable(%q) = %v, want %v", tool, got, want)
		}
	}
}

func TestSizesReadAndPrint(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "1": 1, "1k": 1024, "1K": 1024, "2KiB": 2048, "1kb": 1000, "4MiB": 4 << 20, "4 MB": 4e6, "1G": 1 << 30, "1.5g": 3 << 29,
		"1TiB": 1 << 40, "17B": 17, "9223372036854775807": 1<<63 - 1,
	} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q gives %d, %v; want %d", text, s, err, want)
		}
		var again config.Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%d prints as %q, which reads as %d, %v", s, s, again, err)
		}
	}
	for _, text := range []string{"", "K", "-1", "1.5", "1e3", "1e3K", "0x10", "inf", "nan", "infK", "1KK", "1_000", "9223372036854775808", "9e9T", "8388608T", "١"} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q gives %d, want an error", text, s)
		}
	}
	for size, want := range map[config.Size]string{0: "0", 1023: "1023", 1024: "1KiB", 1536: "1536", 4 << 20: "4MiB", 1 << 30: "1GiB", 1e6: "1000000"} {
		if got := size.String(); got != want {
			t.Errorf("%d prints as %q, want %q", int64(size), got, want)
		}
	}
}
