package upstream

import (
	"fmt"
	"strings"
)

// The tools that every list begins with. The descriptions are those of an ordinary server: a sentence.
const baseTools = `{"name":"echo","description":"Return the text that was given.","inputSchema":{"type":"object","properties":{"text":` +
	`{"type":"string","description":"What to return"}},"required":["text"]},"annotations":{"readOnlyHint":true}},` +
	`{"name":"big","description":"Return one mebibyte of text.","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},` +
	`{"name":"stats","description":"Return what this server has counted.","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}`

const baseCount = 3

// tools returns a raw array of n tools (at least the base ones) of 250 to 400 bytes each: a name, a sentence, a schema of three
// or four properties and hints, as servers of issue trackers, mail and files have.
func tools(n int) []byte {
	nouns := []string{"issue", "message", "file", "calendar_event", "customer", "invoice", "deployment", "document"}
	verbs := []string{"search", "read", "create", "update", "list", "archive"}
	var b strings.Builder
	b.WriteString("[" + baseTools)
	for i := range max(0, n-baseCount) {
		noun, verb := nouns[i%len(nouns)], verbs[i/len(nouns)%len(verbs)]
		fmt.Fprintf(&b, `,{"name":"%s_%s_%03d","description":"%s one %s of the workspace by its identifier, or those that match a query.",`+
			`"inputSchema":{"type":"object","properties":{"id":{"type":"string","description":"Identifier of the %s"},`+
			`"limit":{"type":"integer","minimum":1,"maximum":100,"default":%d},"query":{"type":"string"}`,
			verb, noun, i, strings.ToUpper(verb[:1])+verb[1:], noun, noun, 10+i%40)
		if i%3 == 0 {
			b.WriteString(`,"order":{"type":"string","enum":["newest","oldest"]}`)
		}
		fmt.Fprintf(&b, `},"required":["id"]},"annotations":{"readOnlyHint":%t}}`, i%2 == 0)
	}
	b.WriteString("]")
	return []byte(b.String())
}
