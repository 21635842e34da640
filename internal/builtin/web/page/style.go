package page

import (
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// sight is whether an element is seen.
type sight int

const (
	seen  sight = iota
	faint       // not seen until a script fades it in, if there is one
	gone
)

// sheet has what the style sheets within a page say of single classes and ids: ".name" or "#name".
type sheet map[string]sight

// maxSheet bounds how much of all style sheets of a page is read, in bytes.
const maxSheet = 256 << 10

// readSheets reads the style sheets of a page, and says whether it has any, here or elsewhere.
func readSheets(root *html.Node) (sheet, bool) {
	rules, left, styled := sheet{}, maxSheet, false
	for n := range root.Descendants() {
		switch {
		case n.DataAtom == atom.Style && n.FirstChild != nil:
			styled = true
			text := n.FirstChild.Data
			rules.read(text[:min(len(text), left)])
			left -= min(len(text), left)
		case n.DataAtom == atom.Link && strings.Contains(attrOf(n, "rel"), "stylesheet"):
			styled = true
		}
	}
	return rules, styled
}

// read takes rules with a single class or id out of a style sheet. Those within @media and the like depend on the reader's
// screen and are passed over.
func (s sheet) read(text string) {
	for {
		head, rest, ok := strings.Cut(text, "{")
		if !ok {
			return
		}
		if at := strings.LastIndexAny(head, "};"); at >= 0 {
			head = head[at+1:]
		}
		head = strings.TrimSpace(head)
		if strings.HasPrefix(head, "@") {
			text = rest[block(rest):]
			continue
		}
		body, after, _ := strings.Cut(rest, "}")
		text = after
		how := hides(parseStyle(body))
		if how == seen {
			continue
		}
		for name := range strings.SplitSeq(head, ",") {
			name = strings.TrimSpace(name)
			if len(name) > 1 && (name[0] == '.' || name[0] == '#') && !strings.ContainsAny(name[1:], ".#: >+~[*\n\t") {
				s[name] = max(s[name], how)
			}
		}
	}
}

// block returns where the block ends whose opening brace stands before text.
func block(text string) int {
	depth := 1
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// visibility judges an element by its attributes and by rules for its classes and id.
func visibility(n *html.Node, style map[string]string, rules sheet) sight {
	if hasAttr(n, "hidden") && attrOf(n, "hidden") != "until-found" {
		return gone
	}
	how := hides(style)
	if len(rules) == 0 {
		return how
	}
	if id := attrOf(n, "id"); id != "" {
		how = max(how, rules["#"+id])
	}
	for class := range strings.FieldsSeq(attrOf(n, "class")) {
		if by := rules["."+class]; by > how && style["display"] == "" {
			how = by
		}
	}
	return how
}

// parseStyle reads declarations; of several for one property the last counts.
func parseStyle(text string) map[string]string {
	if text == "" {
		return nil
	}
	style := map[string]string{}
	for declaration := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(declaration, ":")
		if !ok || len(style) > 50 {
			continue
		}
		value = strings.TrimSpace(strings.ToLower(value))
		style[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(strings.TrimSuffix(value, "!important"))
	}
	return style
}

// hides says whether declarations hide an element.
func hides(s map[string]string) sight {
	if len(s) == 0 {
		return seen
	}
	clipped := s["overflow"] == "hidden" || s["overflow-x"] == "hidden" || s["overflow-y"] == "hidden"
	away := s["position"] == "absolute" || s["position"] == "fixed"
	switch {
	case s["display"] == "none", isZero(s["font-size"], 1.9), s["color"] == "transparent",
		clipped && (isZero(s["height"], 1.1) || isZero(s["width"], 1.1) || isZero(s["max-height"], 1.1) || isZero(s["max-width"], 1.1)),
		far(s["text-indent"]), away && (far(s["left"]) || far(s["top"]) || far(s["right"]) || far(s["bottom"])), far(s["margin-left"]),
		strings.Contains(s["transform"], "scale(0)"),
		away && (strings.HasPrefix(s["clip"], "rect(0") || strings.HasPrefix(s["clip"], "rect(1px") || strings.HasPrefix(s["clip-path"], "inset(50%") ||
			strings.HasPrefix(s["clip-path"], "inset(100%")):
		return gone
	case s["visibility"] == "hidden", s["visibility"] == "collapse", s["opacity"] != "" && isZero(s["opacity"], 0.05):
		return faint
	}
	return seen
}

// isZero says whether a length is there and below some number, whatever its unit is.
func isZero(length string, below float64) bool {
	if length == "" {
		return false
	}
	number := strings.TrimRight(length, "abcdefghijklmnopqrstuvwxyz%")
	x, err := strconv.ParseFloat(number, 64)
	if strings.HasSuffix(length, "em") || strings.HasSuffix(length, "%") {
		below /= 16
	}
	return err == nil && x >= 0 && x < below
}

// far says whether a length puts something out of sight.
func far(length string) bool {
	if !strings.HasPrefix(length, "-") {
		return false
	}
	x, err := strconv.ParseFloat(strings.TrimRight(length, "abcdefghijklmnopqrstuvwxyz%"), 64)
	if strings.HasSuffix(length, "em") || strings.HasSuffix(length, "vw") || strings.HasSuffix(length, "vh") {
		x *= 10
	}
	return err == nil && x <= -900
}

// colour gives the common ways to write white and black one name each, and leaves others as they are.
func colour(text string) string {
	text = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(text)), " ", "")
	switch text {
	case "white", "#fff", "#ffffff", "#ffff", "#ffffffff", "rgb(255,255,255)", "rgba(255,255,255,1)", "#fefefe", "#fdfdfd":
		return "white"
	case "black", "#000", "#000000", "#000f", "#000000ff", "rgb(0,0,0)", "rgba(0,0,0,1)":
		return "black"
	case "inherit", "initial", "transparent", "currentcolor", "unset":
		return ""
	}
	if strings.HasPrefix(text, "url(") || strings.Contains(text, "gradient") || strings.Contains(text, "var(") {
		return ""
	}
	return text
}
