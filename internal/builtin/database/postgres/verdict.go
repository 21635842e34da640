package postgres

import (
	"strconv"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

const advice = "send one SELECT that only reads; an administrator can allow a function with the setting functions"

// outline is what a verdict needs of a statement.
type outline struct {
	sql   string   // without a semicolon at the end
	calls []string // names that may be functions, folded
}

// reads cuts a statement and refuses what surely does more than read. That it is
// one SELECT the server itself says: DECLARE CURSOR takes nothing else.
func reads(sql string) (outline, error) {
	tokens, err := lex(sql)
	if err != nil {
		return outline{}, err
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].text == ";" && tokens[len(tokens)-1].kind == symbol {
		tokens = tokens[:len(tokens)-1]
	}
	first := 0
	for first < len(tokens) && tokens[first].text == "(" {
		first++
	}
	if first == len(tokens) {
		return outline{}, engine.Refuse("send one SELECT", "there is no statement")
	}
	if t := tokens[first]; t.quoted || !begins(t.text) {
		return outline{}, engine.Refuse("send one SELECT", "a statement that only reads begins with SELECT, WITH, VALUES or TABLE, and this one with %q", t.text)
	}
	for _, t := range tokens {
		if t.kind == symbol && t.text == ";" {
			return outline{}, engine.Refuse("send them one by one", "there is more than one statement")
		}
	}
	if err := large(tokens); err != nil {
		return outline{}, err
	}
	return outline{sql: trimmed(sql), calls: calls(tokens)}, nil
}

func begins(word string) bool {
	switch word {
	case "select", "with", "values", "table":
		return true
	}
	return false
}

// trimmed takes semicolons off the end, with comments between them left alone: a
// comment after the last is harmless to what is put before the statement.
func trimmed(sql string) string {
	for {
		sql = strings.TrimRight(sql, spaces)
		if !strings.HasSuffix(sql, ";") {
			return sql
		}
		sql = sql[:len(sql)-1]
	}
}

// calls collects the words that can name a function: those before a parenthesis,
// those after a dot, since t.f can mean f(t), and those in OPERATOR() are none.
func calls(tokens []token) []string {
	seen := map[string]bool{}
	var names []string
	for i, t := range tokens {
		if t.kind != word || seen[t.text] {
			continue
		}
		t.text = t.text[:min(len(t.text), maxName)]
		called := i+1 < len(tokens) && tokens[i+1].kind == symbol && tokens[i+1].text == "("
		attribute := i > 0 && tokens[i-1].kind == symbol && tokens[i-1].text == "."
		if called || attribute {
			seen[t.text] = true
			names = append(names, t.text)
		}
	}
	return names
}

// maxName is to how many bytes the server cuts names (NAMEDATALEN - 1).
const maxName = 63

// maxRepeat bounds what a constant may be multiplied by: PostgreSQL computes
// calls with constants while it plans, where no timeout ends it and nothing
// bounds its memory.
const maxRepeat = 1_000_000

// large refuses repeat, lpad, rpad and the like that are nested or have a large number.
func large(tokens []token) error {
	depth, open := 0, []int{}
	for i, t := range tokens {
		switch {
		case t.kind == word && grows(t.text) && i+1 < len(tokens) && tokens[i+1].text == "(":
			if len(open) > 0 {
				return engine.Refuse("take it apart", "%s within another such function can fill the memory of the server", t.text)
			}
			open = append(open, depth)
		case t.kind == symbol && t.text == "(":
			depth++
		case t.kind == symbol && t.text == ")":
			depth--
			if len(open) > 0 && depth <= open[len(open)-1] {
				open = open[:len(open)-1]
			}
		case t.kind == number && len(open) > 0:
			n, err := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64)
			if err == nil && n > maxRepeat {
				return engine.Refuse("take a smaller number", "%s would make a value too large", t.text)
			}
		}
	}
	return nil
}

func grows(name string) bool {
	switch name {
	case "repeat", "lpad", "rpad", "array_fill", "space":
		return true
	}
	return false
}
