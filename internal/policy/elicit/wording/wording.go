// Package wording decides whether a text asks a person for a secret: a password,
// a key, a token, a code that proves who somebody is, a PIN, a payment card, the
// words of a wallet.
//
// It reads a text as people do who are meant to be taken in by it: letters of
// other scripts that look like Latin ones, digits in the place of letters, words
// that are split or run together, and what is invisible. It knows English best,
// and the words for a password of some twenty languages.
//
// It does not know who asks, what a form is or what becomes of an answer. It is a
// list of words and a little grammar: whoever describes a secret without naming
// it is not found out.
package wording

import "strings"

// MaxText is how many bytes of one text are read; what is longer is cut.
const MaxText = 64 << 10

// Field is what a form says of one of its fields.
type Field struct {
	Name, Title, Description string
}

// Field returns the words by which a field asks for a secret; empty when it
// asks for none.
func (l *Reader) Field(f Field) string {
	name, harmless := l.label(f.Name)
	if name != "" {
		return name
	}
	if title, _ := l.label(f.Title); title != "" {
		return title
	}
	for _, text := range [...]string{f.Title, f.Description} {
		if found := l.Question(text); found != "" {
			return found
		}
	}
	if harmless { // it says which thing about a secret it is
		return ""
	}
	return l.opening(f.Description)
}

// Question returns the words by which a text in whole sentences asks for a
// secret; empty when it asks for none.
func (l *Reader) Question(text string) string {
	for _, r := range readings(text) {
		for _, clause := range clauses(r, "!?;:\n()[]{}。！？；：") {
			if found := l.requested(clause.words()); found != "" {
				return found
			}
		}
		if found := l.foreign(r); found != "" {
			return found
		}
		if found := l.short(r); found != "" {
			return found
		}
	}
	return ""
}

// short finds a question that is little more than the name of what is wanted:
// "Password:".
func (l *Reader) short(r reading) string {
	first := clauses(r, "!?;:,\n()[]{}。！？；：，、")
	if len(first) == 0 || len(first[0].words()) > 4 || len(r.words()) > 6 {
		return ""
	}
	return l.head(first[0].words()).phrase
}

// label reads a name or a title: what is wanted, and whether it is something
// about a secret and not the secret.
func (l *Reader) label(text string) (secret string, harmless bool) {
	for _, r := range readings(text) {
		for _, clause := range clauses(r, ":;,()[]{}\n：，、（）") {
			is := l.head(clause.words())
			if is.phrase != "" {
				return is.phrase, false
			}
			harmless = harmless || is.harmless
		}
	}
	return "", harmless
}

// opening finds a secret among the first words of a description: "API key that
// requests are signed with".
func (l *Reader) opening(text string) string {
	for _, r := range readings(text) {
		first := clauses(r, "!?;:,\n()[]{}。！？；：，、")
		if len(first) == 0 {
			continue
		}
		words := first[0].words()
		for i := range min(3, len(words)) {
			if l.refusals[words[i]] || l.stops[words[i]] {
				break
			}
			size := l.secretAt(words[i:], true)
			if size > 0 && !l.aside(words, i+size) {
				return strings.Join(words[i:i+size], " ")
			}
		}
	}
	return ""
}

// finding is what the words of a label are about.
type finding struct {
	phrase   string // the secret; empty when there is none
	harmless bool   // there is one, and the label is of something about it
}

// head looks for a secret that a label is the name of, rather than one that is
// mentioned in it.
func (l *Reader) head(words []string) finding {
	var f finding
	for i := range words {
		size := l.secretAt(words[i:], i == 0 || l.owners[words[i-1]])
		if size == 0 {
			continue
		}
		if l.behind(words, i) || l.aside(words, i+size) || l.qualified(words, i, size) {
			f.harmless = true
			continue
		}
		return finding{phrase: strings.Join(words[i:i+size], " ")}
	}
	return f
}

// behind reports whether a preposition before the words at i makes them what
// something else is of or for: "name of the token".
func (l *Reader) behind(words []string, i int) bool {
	for j := i - 1; j >= 0; j-- {
		if !l.stops[words[j]] {
			continue
		}
		if j == 0 && words[j] != "which" && words[j] != "whether" && words[j] != "no" && words[j] != "not" {
			return false // "for password": nothing is named before it
		}
		return j == 0 || !l.contents[words[j-1]]
	}
	return false
}

// aside reports whether the words from i on turn the secret before them into
// something about it: "token count", "password policy".
func (l *Reader) aside(words []string, i int) bool {
	if i >= len(words) {
		return false
	}
	last := words[len(words)-1]
	return l.about[words[i]] || len(words)-i <= 3 && l.about[last] && !l.stops[words[i]]
}

// qualified reports whether what stands before a bare word makes it none of the
// secrets that the word alone is: "next page token".
func (l *Reader) qualified(words []string, i, size int) bool {
	if size != 1 || i == 0 {
		return false
	}
	return l.before[words[i]][words[i-1]]
}

// requested finds a verb that asks, and within a few words a secret as its object.
func (l *Reader) requested(words []string) string {
	for i, w := range words {
		weak := l.makes[w]
		asking := l.asks[w] || weak || w == "what" && i+1 < len(words) && (words[i+1] == "is" || words[i+1] == "are")
		if !asking || l.denied(words, i) {
			continue
		}
		from := i + 1
		if from < len(words) && l.particles[words[from]] {
			from++
		}
		if found := l.object(words, from, weak); found != "" {
			return found
		}
	}
	return l.wanted(words)
}

// wanted finds a secret that is said to be needed: "your password, please".
func (l *Reader) wanted(words []string) string {
	for i := range words {
		size := l.secretAt(words[i:], i > 0 && l.owners[words[i-1]])
		end := i + size
		if size == 0 {
			continue
		}
		yours := i == 1 && words[0] == "your"
		if yours && (end == len(words) || l.wants[words[end]]) || end < len(words) && (words[end] == "please" || needed(words[end:])) {
			return strings.Join(words[i:end], " ")
		}
	}
	return ""
}

// needed reports whether words go on with "is needed".
func needed(words []string) bool {
	return len(words) > 1 && words[0] == "is" && (words[1] == "needed" || words[1] == "required")
}

// reach is how many words may stand between a verb and its object.
const reach = 6

func (l *Reader) object(words []string, from int, weak bool) string {
	for i := from; i < len(words) && i <= from+reach; i++ {
		size := l.secretAt(words[i:], l.owners[words[i-1]])
		if weak && size > 0 && !chosen(words[i:i+size]) {
			size = 0
		}
		if size > 0 && !l.aside(words, i+size) && !l.qualified(words, i, size) {
			return strings.Join(words[i:i+size], " ")
		}
		if l.refusals[words[i]] || l.stops[words[i]] && !l.contents[words[i-1]] {
			return ""
		}
	}
	return ""
}

// chosen reports whether a secret is of a kind that people make up themselves, so
// that to be asked to create one is to be asked for it.
func chosen(words []string) bool {
	text := strings.Join(words, "")
	return strings.HasPrefix(text, "pass") || strings.HasPrefix(text, "pin") || strings.HasPrefix(text, "pwd")
}

// denied reports whether the verb at i is one that is forbidden: "do not enter".
func (l *Reader) denied(words []string, i int) bool {
	for j := max(0, i-2); j < i; j++ {
		if l.refusals[words[j]] {
			return true
		}
	}
	return false
}

// foreign finds a word of another language for a password beside one that asks
// or says whose it is, in either order, in one clause.
func (l *Reader) foreign(r reading) string {
	for _, clause := range clauses(r, "!?;:\n。！？；：") {
		words := clause.words()
		found, calls := "", false
		for i, w := range words {
			if size := l.abroadAt(words[i:]); size > 0 && !l.aside(words, i+size) {
				found = strings.Join(words[i:i+size], " ")
			}
			in, _ := within(w, l.callsTogether)
			calls = calls || l.callsAbroad[w] || in != ""
		}
		if found != "" && calls {
			return found
		}
	}
	return ""
}
