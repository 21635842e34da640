//go:build linux

package safety

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

const (
	upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
	alnum     = upperCase + "abcdefghijklmnopqrstuvwxyz" + digits
)

// some gives n random characters of an alphabet.
func some(n int, of string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[rand.IntN(len(of))]
	}
	return string(b)
}

// form is a form that secrets have. %s is where the marker goes.
type form struct {
	kind string
	// name is what the value is called wherever it stands; "" for those that are
	// known by their looks.
	name string
	make func(mark string) string
}

// forms are those of the promise: tokens, keys, passwords, private keys, cookies
// and connection strings.
func forms() []form {
	pad := func(prefix string, before, after int, of string) func(string) string {
		return func(mark string) string { return prefix + some(before, of) + mark + some(after, of) + "7" }
	}
	return []form{
		{"aws key id", "", func(mark string) string { return "AKIA" + mark + some(16-len(mark), upperCase+digits) }},
		{"aws secret", "aws_secret_access_key", pad("", 10, 20, alnum)},
		{"github", "", pad("ghp_", 10, 16, alnum)},
		{"gitlab", "", pad("glpat-", 4, 6, alnum)},
		{"openai", "", pad("sk-proj-", 12, 30, alnum)},
		{"anthropic", "", pad("sk-ant-api03-", 20, 50, alnum)},
		{"slack", "", func(mark string) string { return "xoxb-" + some(12, digits) + "-" + mark + some(12, alnum) }},
		{"google", "", pad("AIza", 12, 16, alnum)},
		{"stripe", "", pad("sk_live_", 6, 10, alnum)},
		{"npm", "", pad("npm_", 12, 18, alnum)},
		{"hugging face", "", pad("hf_", 12, 18, alnum)},
		{"vault", "", pad("hvs.", 8, 16, alnum)},
		{"jwt", "", func(mark string) string {
			return "eyJ" + some(20, alnum) + ".eyJ" + some(8, alnum) + mark + some(30, alnum) + "." + some(43, alnum)
		}},
		{"own key", "", func(mark string) string {
			return "drg_" + some(12, alnum) + "_" + mark + some(30, alnum) + "_" + some(5, alnum) + "4"
		}},
		{"private key", "", func(mark string) string {
			return "-----BEGIN PRIVATE KEY-----\n" + some(64, alnum) + "\n" + some(20, alnum) + mark + some(35, alnum) + "\n" + some(30, alnum) + "==\n-----END PRIVATE KEY-----"
		}},
		{"bearer", "", pad("Bearer ", 10, 10, alnum)},
		{"basic", "", func(mark string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(some(4, alnum)+":"+mark+some(6, alnum)))
		}},
		{"connection url", "", func(mark string) string { return "postgres://ann:" + mark + "@db.example.org/main" }},
		{"query", "", func(mark string) string { return "https://api.example.org/v1/x?access_token=" + mark + "&page=2" }},
		{"connection string", "", func(mark string) string {
			return "Server=db.example.org;User Id=ann;Password=" + mark + ";Encrypt=true"
		}},
		{"password", "password", pad("", 2, 3, alnum+"!%")},
		{"client secret", "client_secret", pad("", 8, 8, alnum)},
		{"api key", "apiKey", pad("", 8, 8, alnum)},
		{"cookie", "Cookie", func(mark string) string { return "theme=dark; sid=" + mark }},
		{"passphrase", "KEY_PASSPHRASE", func(mark string) string { return "correct " + mark + " battery" }},
	}
}

// canary is one secret, which was given to the gateway in one place.
type canary struct {
	form
	mark  string
	value string
	where string
}

// mint makes canaries, no two alike.
type mint struct {
	tag    string
	forms  []form
	issued map[string]canary // by mark
}

// markLen is the length of a mark: the tag of the run and a number.
const markLen = 9

func newMint() *mint {
	// An alphabet without hexadecimal digits: nothing that is computed can have the tag by chance.
	return &mint{tag: "Q" + some(4, "GHJKMNPRTVWXYZ"), forms: forms(), issued: map[string]canary{}}
}

// issue makes a canary for a place; i chooses its form.
func (m *mint) issue(where string, i int) canary {
	n := strings.ToUpper(strconv.FormatInt(int64(len(m.issued)+1)+36*36*36, 36))
	f := m.forms[i%len(m.forms)]
	c := canary{form: f, mark: m.tag + n, where: where}
	c.value = f.make(c.mark)
	m.issued[c.mark] = c
	return c
}

// inText is the canary in a text, with its name if it needs one to be known.
func (c canary) inText() string {
	if c.name != "" {
		if c.kind == "cookie" {
			return "Cookie: " + c.value
		}
		return "cannot log in: " + c.name + "=" + strconv.Quote(c.value) + " was refused"
	}
	return "cannot log in: " + c.value + " was refused"
}

// inObject is the canary in the arguments of a call.
func (c canary) inObject() object {
	if c.name != "" {
		return object{"table": "users", "connection": object{c.name: c.value}}
	}
	return object{"table": "users", "notes": []any{"first", c.inText()}}
}

// bare is the canary as one word for places that have room for no more, in a form
// that is known by its looks.
func (m *mint) bare(where string, i int) canary {
	short := m.forms[2:14] // of letters, digits, points and dashes
	n := i % len(short)
	return m.issue(where, n+2)
}

// found is a canary that got where it must not be.
type found struct {
	canary canary
	place  string
	around string
}

// search looks for canaries in a text, in whatever case, plainly and in the
// encodings that programs use for what is no text.
func (m *mint) search(place string, text []byte) []found {
	var all []found
	seen := map[string]bool{}
	upper := bytes.Clone(text) // of letters only, so that places stay what they are
	for i, b := range upper {
		if 'a' <= b && b <= 'z' {
			upper[i] = b - 'a' + 'A'
		}
	}
	for at := 0; ; {
		i := bytes.Index(upper[at:], []byte(m.tag))
		if i < 0 {
			break
		}
		at += i
		mark := string(upper[at:min(len(upper), at+markLen)])
		if c, ok := m.issued[mark]; ok && !seen[mark] {
			seen[mark] = true
			all = append(all, found{c, place, around(text, at)})
		} else if !ok {
			all = append(all, found{canary{where: "cut short: " + mark}, place, around(text, at)})
		}
		at += len(m.tag)
	}
	for name, needle := range m.encoded() {
		if at := bytes.Index(text, []byte(needle)); at >= 0 {
			all = append(all, found{canary{where: "in " + name}, place, around(text, at)})
		}
	}
	return all
}

// encoded is the tag in base64, for each of the three places that it can have in
// a group of three bytes, and in hexadecimal.
func (m *mint) encoded() map[string]string {
	out := map[string]string{"hex": hex.EncodeToString([]byte(m.tag)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(m.tag)))}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + m.tag))
		from, to := (shift*8+5)/6, (shift+len(m.tag))*8/6
		out[fmt.Sprintf("base64 at %d", shift)] = text[from:to]
	}
	return out
}

func around(text []byte, at int) string {
	return string(text[max(0, at-120):min(len(text), at+60)])
}
