// Package secret keeps what must not be read by who reads the disk: data is
// encrypted with a key for each subject it is about, these data keys are
// encrypted with a key that is elsewhere, and a ciphertext is good for the one
// place that it was made for. To erase what is known of a subject, its data keys
// are removed.
//
//	master keys (key file with a passphrase, or a service)   [Wrapper]
//	  └ wrap data keys, some for each subject                [store.DataKeys]
//	      └ seal fields, each bound to its row               [Box]
//
// The package does not know whose secrets they are nor where ciphertexts are
// kept. What looks like a secret in a text is found by package scan below it.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Value is a secret in memory. Every way of printing or encoding it gives
// [redacted], also from inside of other types, whose unexported fields are
// printed without asking; only Reveal gives the text. The zero Value is empty.
//
// Memory is cleared by Destroy as far as that goes: the runtime, or who made the
// Value, may have copied it.
//
// The text is behind a function, since everything else can be followed: fmt
// prints what a pointer in an unexported field points to when the verb does not
// fit, and programs that dump values follow pointers anyway.
type Value struct{ text func() *[]byte }

var (
	_ fmt.Formatter  = Value{}
	_ slog.LogValuer = Value{}
)

// NewValue makes a Value of a copy of text.
func NewValue(text []byte) Value {
	kept := append([]byte(nil), text...)
	return Value{func() *[]byte { return &kept }}
}

// Reveal gives the text itself, which must not be changed; a search for Reveal
// finds each place where a secret leaves.
func (v Value) Reveal() []byte {
	if v.text == nil {
		return nil
	}
	return *v.text()
}

// Destroy overwrites the text; the Value, and each copy of it, is empty then. It
// must not be in use.
func (v Value) Destroy() {
	if v.text != nil {
		text := v.text()
		clear(*text)
		*text = nil
	}
}

// Equal compares in a time that depends on the lengths alone.
func (v Value) Equal(other Value) bool {
	return subtle.ConstantTimeCompare(v.Reveal(), other.Reveal()) == 1
}

// IsZero reports whether it is empty.
func (v Value) IsZero() bool { return len(v.Reveal()) == 0 }

// String gives [redacted], or nothing for an empty Value, so that "is it set" can be seen.
func (v Value) String() string {
	if v.IsZero() {
		return ""
	}
	return redacted
}

// Format covers every verb of fmt, %x and %#v among them.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// LogValue keeps the text out of logs.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText keeps the text out of JSON, XML and TOML and, as a map's key, too.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// MarshalYAML keeps the text out of YAML.
func (v Value) MarshalYAML() (any, error) { return v.String(), nil }

// GobEncode refuses: what is encoded so is meant to be decoded.
func (v Value) GobEncode() ([]byte, error) {
	return nil, errors.New("encode secret: a secret is not sent as it is")
}
