package scan

import (
	"bytes"
	"strings"
)

// meaning is what a name says of the value beside it.
type meaning uint8

const (
	nothing meaning = iota
	// perhaps: a secret if it looks random. "key" may name a row or unlock a bank.
	perhaps
	// likely: a secret if it is text. "tokens" may be a number of them.
	likely
	// surely: a secret whatever it is.
	surely
	// whole: a secret to the end of the line, as header fields with several parts are.
	whole
	// entire: with all that is in it, names of members too. What a configuration names
	// may be an object; and what people are like is nobody's to read.
	entire
)

// maxName bounds the name that is looked at, from its end.
const maxName = 64

// words say what a name that contains one of them means. Longer names are read
// word by word: clientSecret and CLIENT_SECRET are client, secret.
var words = map[string]meaning{
	"password": surely, "passwords": surely, "passwd": surely, "pwd": surely, "passphrase": surely, "passcode": surely, "pass": likely,
	"secret": surely, "secrets": surely, "credential": surely, "credentials": surely, "creds": surely,
	"authorization": whole, "cookie": whole, "cookies": whole, "otp": surely, "totp": surely, "cvv": surely, "cvc": surely,
	"apikey": surely, "jwt": likely, "bearer": likely, "token": likely, "tokens": likely, "auth": likely, "authentication": likely,
	"pat": perhaps, "pin": perhaps, "signature": likely, "sig": likely, "sas": likely, "mnemonic": likely, "dsn": perhaps,
	"key": perhaps, "keys": perhaps, "session": perhaps, "sessionid": likely, "sid": perhaps, "nonce": perhaps, "seed": perhaps,
	"preferences": entire, "demographics": entire,
	"code": perhaps, "hash": perhaps, "salt": perhaps, "csrf": likely, "xsrf": likely, "webhook": perhaps,
}

// keyKinds before "key" make it one that unlocks.
var keyKinds = map[string]bool{
	"api": true, "access": true, "private": true, "secret": true, "signing": true, "encryption": true, "master": true, "ssh": true,
	"account": true, "shared": true, "subscription": true, "license": true, "service": true, "storage": true, "client": true,
	"host": true, "auth": true, "app": true, "application": true, "deploy": true, "server": true, "data": true, "wrapping": true,
	"consumer": true, "admin": true, "root": true, "rsa": true, "session": true, "hmac": true, "aes": true, "function": true,
}

// aspects at the end of a name make it one about a secret, not the secret.
var aspects = map[string]bool{
	"type": true, "count": true, "limit": true, "url": true, "uri": true, "endpoint": true, "name": true, "method": true,
	"mode": true, "policy": true, "expires": true, "expiry": true, "length": true, "size": true, "provider": true, "version": true,
	"file": true, "path": true, "field": true, "required": true, "enabled": true, "status": true, "algorithm": true, "alg": true,
}

// strong are parts by which a name is one of a secret's even when it cannot be
// read word by word: dbpassword, accesstoken.
var strong = [...]string{"password", "passwd", "passphrase", "secret", "credential", "apikey", "accesskey", "privatekey"}

// Named reports whether a text is a secret when this is its name, whatever it
// looks like.
func (s *Scanner) Named(name string) bool { return s.meaning(name) >= likely }

// remembered is what was found out about a name.
type remembered struct {
	name string
	is   meaning
}

// maxRemembered is how many names are remembered, in a table in which a name has
// one place: logs and arguments have few names, many times.
const maxRemembered = 1024

// meaning tells what a name says of the value beside it.
func (s *Scanner) meaning(name string) meaning {
	if len(name) > maxName {
		name = name[len(name)-maxName:]
	}
	sum := uint32(2166136261) // FNV-1a
	for i := range len(name) {
		sum = (sum ^ uint32(name[i])) * 16777619
	}
	place := &s.read[(sum^sum>>16)%maxRemembered]
	if r := place.Load(); r != nil && r.name == name {
		return r.is
	}
	is := s.readName(name)
	place.Store(&remembered{name: strings.Clone(name), is: is})
	return is
}

// readName is meaning for a name that is not remembered.
func (s *Scanner) readName(name string) meaning {
	var buf, one [2 * maxName]byte
	folded := fold(buf[:0], name)
	m := byWords(folded)
	if m >= surely {
		return m
	}
	run := joined(append(one[:0], folded...))
	if s.names[string(run)] {
		return entire
	}
	if m == nothing {
		m = byParts(folded, run)
	}
	return m
}

// byWords reads a name word by word: the strongest word counts, unless the
// last one turns the whole into something about a secret.
func byWords(folded []byte) meaning {
	strongest, before, last := nothing, "", []byte(nil)
	for rest := folded; len(rest) > 0; {
		part, after, _ := bytes.Cut(rest, separator[:])
		m := words[string(part)]
		if m == perhaps && keyKinds[before] && (string(part) == "key" || string(part) == "keys") {
			m = surely
		}
		strongest = max(strongest, m)
		before, last, rest = "", part, after
		if keyKinds[string(part)] {
			before = string(part)
		}
	}
	if aspects[string(last)] || string(last) == "id" && strongest < surely {
		return nothing
	}
	return strongest
}

var separator = [...]byte{'_'}

// byParts looks for strong parts in a name without separators, also where
// digits stand for letters.
func byParts(folded, run []byte) meaning {
	if len(run) < len("apikey") {
		return nothing
	}
	for i, c := range run {
		run[i] = unleet(c)
	}
	for _, part := range strong {
		if at := bytes.Index(run, []byte(part)); at >= 0 {
			last := folded[bytes.LastIndexByte(folded, '_')+1:]
			if aspects[string(last)] {
				return nothing
			}
			return surely
		}
	}
	if bytes.HasSuffix(run, []byte("token")) || bytes.HasSuffix(run, []byte("sessionid")) {
		return likely
	}
	return nothing
}

func unleet(c byte) byte {
	switch c {
	case '0':
		return 'o'
	case '1':
		return 'i'
	case '3':
		return 'e'
	case '4', '@':
		return 'a'
	case '5', '$':
		return 's'
	}
	return c
}

// fold appends a name in lower case with one _ between its words.
func fold(dst []byte, name string) []byte {
	was := byte('_')
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			next := byte(0)
			if i+1 < len(name) {
				next = name[i+1]
			}
			if was >= 'a' && was <= 'z' || was >= 'A' && was <= 'Z' && next >= 'a' && next <= 'z' {
				dst = append(dst, '_')
			}
			dst = append(dst, c|0x20)
		case classes[c]&letter != 0 || c == '@' || c == '$' || c >= 0x80:
			dst = append(dst, c)
		default:
			if len(dst) > 0 && dst[len(dst)-1] != '_' {
				dst = append(dst, '_')
			}
			c = '_'
		}
		was = c
	}
	return bytes.TrimSuffix(dst, separator[:])
}

// joined removes the separators, in place.
func joined(folded []byte) []byte {
	out := folded[:0]
	for _, c := range folded {
		if c != '_' {
			out = append(out, c)
		}
	}
	return out
}
