package wording

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// reading is one way to read a text: without what is invisible, and each letter
// as one.
type reading struct{ text string }

// readings are the ways in which a text is read: as it is, with letters that look
// like Latin ones as those, and with digits and signs as the letters that they
// stand for. A way that makes no difference is left out.
func readings(text string) []reading {
	if len(text) > MaxText {
		text = strings.ToValidUTF8(text[:MaxText], "")
	}
	as := visible(text)
	out := []reading{{as}}
	alike := strings.Map(lookalike, as)
	for _, other := range [...]string{alike, numeral(alike, 'i'), numeral(alike, 'l')} {
		if !slices.Contains(out, reading{other}) {
			out = append(out, reading{other})
		}
	}
	return out
}

// visible takes out what cannot be seen, accents, and differences of width.
func visible(text string) string {
	ascii := true
	for i := range len(text) {
		ascii = ascii && text[i] < 0x80 && text[i] >= ' '
	}
	if ascii {
		return text
	}
	seen := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return '\n'
		case unicode.In(r, unicode.Cf, unicode.Cc, unicode.Co), r >= 0xE0000, r == 0x3164, r == 0xFFA0, r == 0x115F, r == 0x1160, r == 0x2800:
			return -1
		case r >= 0x300 && r < 0x370, unicode.Is(unicode.Me, r), unicode.Is(unicode.Variation_Selector, r): // accents of Latin, Greek and Cyrillic letters
			return -1
		}
		return r
	}, norm.NFKD.String(text))
	return norm.NFC.String(seen)
}

// lookalikes are letters of other scripts and the Latin ones that people take
// them for, in pairs (Unicode UTS #39, confusables).
const lookalikes = "аaеeоoрpсcуyхxіiїiјjѕsԁdһhқkкkмmтtвbнhгrпnиuԛqԝwɡgʟlɴnөo" +
	"АAВBЕEКKМMНHОOРPСCТTУYХXІIЈJЅSԚQԜWҮYԌGӀI" +
	"αaβbεeηnικκkνvοoρpτtυuχxγyωwιiςcσoϲcϳj" +
	"ΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧX" +
	"օoսuհhոnցgզqԼLքpեtѡwԻrոnոnɑaıiɩiłløođdħhŧtʀrꜱsᴘpᴀaᴡwᴏoᴅdᴛtᴋkᴇeɪiᴄcᴜuᴍmʏy" +
	"ІIаaꓑPꓮAꓢSꓪWꓳOꓣRꓓDꓔTꓗKꓰEꓠNꓲIꓚC"

// lookalike is the Latin letter that r looks like, or r.
func lookalike(r rune) rune {
	if r < 0x80 {
		return r
	}
	at := 0
	var pair [2]rune
	for _, c := range lookalikes {
		pair[at%2] = c
		at++
		if at%2 == 0 && pair[0] == r {
			return pair[1]
		}
	}
	return r
}

// numeral reads digits and signs as letters where they stand within or beside a
// word; one is what 1 and ! and | are.
func numeral(text string, one rune) string {
	runes := []rune(text)
	letter := func(i int) bool {
		return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || leet(runes[i], one) != 0)
	}
	out := make([]rune, len(runes))
	for i, r := range runes {
		out[i] = r
		as := leet(r, one)
		if as == 0 || !letter(i-1) && !letter(i+1) {
			continue
		}
		if r == '!' && !letter(i+1) { // the end of a sentence
			continue
		}
		out[i] = as
	}
	return string(out)
}

// leet is the letter that a digit or sign stands for; 0 when it stands for none.
func leet(r, one rune) rune {
	switch r {
	case '0':
		return 'o'
	case '1', '!', '|':
		return one
	case '3', '€':
		return 'e'
	case '4', '@':
		return 'a'
	case '5', '$':
		return 's'
	case '7', '+':
		return 't'
	case '8':
		return 'b'
	case '9':
		return 'g'
	}
	return 0
}

// clauses cuts a reading where its sense ends: at one of the characters of at, a
// full stop only where a word does not go on.
func clauses(r reading, at string) []reading {
	text := r.text + "\n"
	for _, end := range [...]string{" - ", "–", "—", ". ", ".\n"} {
		text = strings.ReplaceAll(text, end, "\n")
	}
	var out []reading
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || strings.ContainsRune(at, r) }) {
		if strings.TrimSpace(part) != "" {
			out = append(out, reading{part})
		}
	}
	return out
}

// words are the words of a text in small letters: at what is no letter, at
// capitals within, and with digits at the end taken off.
func (r reading) words() []string {
	var out []string
	for run := range strings.FieldsFuncSeq(r.text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && r != '\'' && r != '’'
	}) {
		run = strings.ReplaceAll(strings.ReplaceAll(run, "'", ""), "’", "")
		for _, word := range humps(run) {
			if short := strings.TrimRightFunc(word, unicode.IsDigit); short != "" {
				word = short
			}
			if word != "" {
				out = append(out, strings.ToLower(word))
			}
		}
	}
	return out
}

// humps cuts a run of letters where a small one is followed by a capital, and
// before the last capital of several that a small one follows: API|Key.
func humps(run string) []string {
	runes := []rune(run)
	var out []string
	begin := 0
	for i := 1; i < len(runes); i++ {
		up := unicode.IsUpper(runes[i])
		rises := up && !unicode.IsUpper(runes[i-1])
		falls := up && unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
		if rises || falls {
			out = append(out, string(runes[begin:i]))
			begin = i
		}
	}
	return append(out, string(runes[begin:]))
}

// maxPieces is how many words, or single letters, one secret may be split into.
const maxPieces = 24

// secretAt returns how many of the words, from the first on, are together the
// name of a secret; 0 when they are not. A few words are one only where they
// stand alone.
func (l *Reader) secretAt(words []string, alone bool) int {
	if len(words) == 0 {
		return 0
	}
	if alone && len(words) == 1 && l.solo[words[0]] {
		return 1
	}
	joined, letters, size := "", true, 0
	for i, w := range words[:min(len(words), maxPieces)] {
		joined += w
		letters = letters && len([]rune(w)) == 1
		if len(joined) > longest {
			break
		}
		// Short words run together by chance.
		if (l.secrets[joined] || l.abroadSplit[joined]) && (i == 0 || letters || len(joined) >= 5) {
			size = i + 1
		}
	}
	if size > 0 {
		return size
	}
	if in, rest := within(words[0], l.stems); in != "" && !l.about[rest] && !l.tail(rest) {
		return 1
	}
	return l.abroadAt(words)
}

// abroadAt is secretAt for the words of other languages.
func (l *Reader) abroadAt(words []string) int {
	joined := ""
	for i, w := range words[:min(len(words), 3)] {
		if joined += w; l.abroadSplit[joined] {
			return i + 1
		}
	}
	if in, rest := within(words[0], l.abroad); in != "" && !l.about[rest] && !l.tail(rest) {
		return 1
	}
	return 0
}

// within returns the one of list that word contains, and what follows it there.
func within(word string, list []string) (in, rest string) {
	for _, stem := range list {
		if _, after, ok := strings.Cut(word, stem); ok {
			return stem, after
		}
	}
	return "", ""
}

// tail reports whether what follows a secret within a word makes another of it.
func (l *Reader) tail(rest string) bool {
	for _, t := range l.tails {
		if strings.HasPrefix(rest, t) {
			return true
		}
	}
	return false
}
