package selftest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf16"

	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
)

// jsonTexts puts each text where a value of a message stands. Texts that a parser may take or refuse must have an answer.
func jsonTexts(ctx context.Context, t *Target, r *Result) error {
	all, err := corpus.JSONTestSuite()
	if err != nil {
		return err
	}
	for _, v := range all {
		a, err := t.send(ctx, t.list(`"x":`+string(v.Data)+`,`))
		if err != nil {
			return err
		}
		switch {
		case v.Name[0] == 'i':
			r.attack(a.status > 0 && a.status < http.StatusInternalServerError, "%s: %s", v.Name, a)
		case v.Name[0] == 'y' && !strings.HasPrefix(v.Name, "y_object_duplicated_key"):
			r.harmless(a.result(), "%s: %s", v.Name, a)
		default: // a name twice is valid to the suite, and two readings to us
			r.attack(a.status == http.StatusBadRequest, "%s: %s", v.Name, a)
		}
	}
	return nil
}

// messages are those of which a second parser makes another message.
func messages(ctx context.Context, t *Target, r *Result) error {
	attacks := map[string]request{}
	body := func(name, text string) { attacks[name] = t.post("tools/list", "", text) }
	for _, member := range []string{`"jsonrpc":"2.0"`, `"id":2`, `"method":"tools/call"`, `"params":{}`} {
		body("twice "+member, `{"jsonrpc":"2.0","id":1,`+member+`,"method":"tools/list","params":{`+meta+`}}`)
		body("twice, after "+member, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+meta+`},`+member+`}`)
	}
	for _, name := range []string{"Method", "METHOD", "methoD", `\u004dethod`, "Params", "PARAMS", "paramſ", `param\u017f`, "ID", "Id", "JSONRPC", "JsonRpc", "Result", "Error"} {
		body("look-alike "+name, `{"jsonrpc":"2.0","id":1,"method":"tools/list","`+name+`":"tools/call","params":{`+meta+`}}`)
	}
	body("escaped twice", `{"jsonrpc":"2.0","id":1,"method":"tools/list","\u006dethod":"tools/call","params":{`+meta+`}}`)
	body("twice, three levels down", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":{"b":{"c":1,"c":2}},`+meta+`}}`)
	one := `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`
	for name, text := range map[string]string{
		"a batch of one": "[" + one + "]", "a batch of two": "[" + one + "," + one + "]", "an empty batch": "[]", "a batch in a batch": "[[" + one + "]]",
		"a byte order mark": "\ufeff" + one, "two messages": one + one, "two lines": one + "\n" + one, "a comma at the end": one + ",", "a NUL at the end": one + "\x00",
		"a comment": "/* */" + one, "nothing": "", "null": "null", "a number": "1", "a text": `"tools/list"`, "white space": "  \n",
		"UTF-16, little end first": wide(one, false), "UTF-16, big end first": wide(one, true), "bytes that are no UTF-8": strings.Replace(one, "2.0\"", "2.0\",\"x\":\"\xff\"", 1),
		"UTF-7": "+AHs-\"jsonrpc\":\"2.0\"}", "version 1.0": strings.Replace(one, "2.0", "1.0", 1), "no version": strings.Replace(one, `"jsonrpc":"2.0",`, "", 1),
		"a version that is a number": strings.Replace(one, `"2.0"`, "2.0", 1), "an id that is an object": strings.Replace(one, `"id":1`, `"id":{}`, 1),
		"an id that is a list": strings.Replace(one, `"id":1`, `"id":[1]`, 1), "an id that is true": strings.Replace(one, `"id":1`, `"id":true`, 1),
		"an id with a fraction": strings.Replace(one, `"id":1`, `"id":1.5`, 1), "params that are a list": `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}`,
		"a method that is a list": `{"jsonrpc":"2.0","id":1,"method":["tools/list"],"params":{` + meta + `}}`, "a result and a method": strings.Replace(one, `"id":1`, `"id":1,"result":{}`, 1),
	} {
		body(name, text)
	}
	for _, name := range []string{"Name", "NAME", "nam\u0435", "Arguments", "ARGUMENTS"} {
		call := t.post("tools/call", "no__such", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"no__such","`+name+`":"x","arguments":{},`+meta+`}}`)
		attacks["params."+name] = call
	}
	if err := t.each(ctx, r, attacks, noResult); err != nil {
		return err
	}
	return t.passes(ctx, r, map[string]request{
		"as it should be": t.list(""), "members in another order": t.post("tools/list", "", `{"params":{`+meta+`},"method":"tools/list","id":"a","jsonrpc":"2.0"}`),
		"white space around": t.post("tools/list", "", " \r\n\t"+one+"\n"), "an unknown member": t.list(`"futureMember":{"a":[1,null]},`),
	})
}

func wide(text string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
		if big {
			b.Write([]byte{byte(u >> 8), byte(u)})
		} else {
			b.Write([]byte{byte(u), byte(u >> 8)})
		}
	}
	return b.String()
}

// mirrors are headers that say something else than the body, or say it twice.
func mirrors(ctx context.Context, t *Target, r *Result) error {
	list, tool := t.list(""), t.call("no__such", "{}")
	encoded := func(s string) string { return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?=" }
	attacks := map[string]request{}
	for _, c := range []struct {
		q            request
		name, right  string
		othersBeside []string
	}{
		{list, "Mcp-Method", "tools/list", []string{"tools/call", "TOOLS/LIST", "tools/list\x00", "tools/list,tools/call", "tools/list, tools/list", "tools/lis", "tools/list/", "resources/list"}},
		{list, "MCP-Protocol-Version", revision, []string{"2025-11-25", "2024-11-05", "1", "2026-07-28, 2025-11-25", "2026-07-29", "../../x", "draft"}},
		{tool, "Mcp-Name", "no__such", []string{"no__Such", "other__tool", "no__such, other__tool", "no__such\x01", "no__suc", "../no__such"}},
		{tool, "Mcp-Method", "tools/call", []string{"tools/list", "prompts/get", "notifications/cancelled"}},
	} {
		attacks[c.name+" missing"] = c.q.without(c.name)
		attacks[c.name+" empty"] = c.q.instead(c.name, "")
		attacks[c.name+" twice"] = c.q.with(c.name + ": " + c.right)
		for _, other := range c.othersBeside {
			attacks[fmt.Sprintf("%s: %q", c.name, other)] = c.q.instead(c.name, other)
			attacks[fmt.Sprintf("%s: %q before the right one", c.name, other)] = c.q.instead(c.name, other).with(c.name + ": " + c.right)
			attacks[fmt.Sprintf("%s: %q behind the right one", c.name, other)] = c.q.with(c.name + ": " + other)
			attacks[fmt.Sprintf("%s: base64 of %q", c.name, other)] = c.q.instead(c.name, encoded(other))
		}
	}
	if err := t.each(ctx, r, attacks, func(a answer) bool { return a.status == http.StatusBadRequest }); err != nil {
		return err
	}
	return t.passes(ctx, r, map[string]request{
		"the right ones": list, "small letters": list.without("Mcp-Method").with("mcp-method: tools/list"), "space around": list.instead("Mcp-Method", "  tools/list\t"),
		"a header that nobody knows": list.with("Mcp-Param-Future: x"),
	})
}

func contentTypes(ctx context.Context, t *Target, r *Result) error {
	attacks := map[string]request{"none": t.list("").without("Content-Type"), "two": t.list("").with("Content-Type: text/plain")}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "application/jsonp", "application/json-rpc",
		"application/javascript", "text/html", "application/jsonx", "application/vnd.api+json", "*/*", "json", "application/", "text/plain; application/json", "text/plain, application/json"} {
		attacks[kind] = t.list("").instead("Content-Type", kind)
	}
	for _, coding := range []string{"gzip", "deflate", "br", "zstd", "identity, gzip", "x-gzip"} {
		attacks["Content-Encoding: "+coding] = t.list("").with("Content-Encoding: " + coding)
	}
	if err := t.each(ctx, r, attacks, turnedAway); err != nil {
		return err
	}
	return t.passes(ctx, r, map[string]request{
		"with its charset": t.list("").instead("Content-Type", "application/json; charset=utf-8"), "capitals": t.list("").instead("Content-Type", "APPLICATION/JSON"),
		"charset without a space": t.list("").instead("Content-Type", `application/json;charset="UTF-8"`),
	})
}
