package jsonrpc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// oracle judges JSON by the standard library, slowly and by other means than the scanner, and adds what the standard
// library does not demand: no name twice, no lone surrogate in a name, numbers and depth bounded.
type oracle struct {
	data     []byte
	dec      *json.Decoder
	maxDepth int
}

func judge(data []byte, maxDepth int) error {
	if !utf8.Valid(data) || !json.Valid(data) {
		return fmt.Errorf("not JSON in UTF-8")
	}
	o := oracle{data: data, dec: json.NewDecoder(bytes.NewReader(data)), maxDepth: maxDepth}
	o.dec.UseNumber()
	if err := o.value(0); err != nil {
		return err
	}
	if _, err := o.dec.Token(); err != io.EOF {
		return fmt.Errorf("more after the value: %v", err)
	}
	return nil
}

func (o *oracle) value(depth int) error {
	tok, err := o.dec.Token()
	if err != nil {
		return err
	}
	if n, ok := tok.(json.Number); ok && len(n) > 1024 {
		return fmt.Errorf("number of %d characters", len(n))
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > o.maxDepth {
		return fmt.Errorf("depth %d", depth)
	}
	names := map[string]bool{}
	for o.dec.More() {
		if open == '{' {
			if err := o.name(names); err != nil {
				return err
			}
		}
		if err := o.value(depth); err != nil {
			return err
		}
	}
	_, err = o.dec.Token()
	return err
}

func (o *oracle) name(names map[string]bool) error {
	before := o.dec.InputOffset()
	tok, err := o.dec.Token()
	if err != nil {
		return err
	}
	if raw := string(o.data[before:o.dec.InputOffset()]); hasLoneSurrogate(raw) {
		return fmt.Errorf("lone surrogate in name %s", raw)
	}
	name := tok.(string)
	if names[name] {
		return fmt.Errorf("name %q twice", name)
	}
	names[name] = true
	return nil
}

var (
	escapes   = regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|[^u])`)
	surrogate = regexp.MustCompile(`D[89A-F]..`)
	pair      = regexp.MustCompile(`^D[89AB]..D[C-F]..`)
)

// hasLoneSurrogate looks at the escapes of JSON text: runs of \u escapes are taken as UTF-16.
func hasLoneSurrogate(raw string) bool {
	units := escapes.ReplaceAllStringFunc(raw, func(e string) string {
		if e[1] == 'u' {
			return "\x00" + strings.ToUpper(e[2:])
		}
		return "\x01"
	})
	for i := 0; i < len(units); i++ {
		if units[i] != 0 {
			continue
		}
		unit := units[i+1 : i+5]
		if !surrogate.MatchString(unit) {
			i += 4
			continue
		}
		if i+10 > len(units) || units[i+5] != 0 || !pair.MatchString(unit+units[i+6:i+10]) {
			return true
		}
		i += 9
	}
	return false
}
