package strict

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a text that must not be shown. Every way of printing or encoding it gives [redacted]; only Reveal gives the
// text, so a search for Reveal finds each place where a secret leaves.
type Secret string

var (
	_ fmt.Formatter  = Secret("")
	_ slog.LogValuer = Secret("")
)

// Reveal gives the text itself.
func (s Secret) Reveal() string { return string(s) }

// String gives [redacted], or nothing for an empty secret, so that "is it set" can be seen.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format covers every verb of fmt, %x and %#v among them.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue keeps the text out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the text out of JSON and, as a map's key, too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML keeps the text out of YAML.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
