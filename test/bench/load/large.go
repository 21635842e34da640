package load

import (
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/test/bench/rawjson"
)

// bigSize is the least length of the tool big's text in JSON; it is not a sixty-fourth more.
const bigSize = 1 << 20

// Big calls the tool big and wants 1 MiB of its text.
func (c *Client) Big() error {
	c.body = append(append(append(c.body[:0], `"name":"`...), c.Target.Prefix...), `big","arguments":{}`...)
	message, err := c.request("tools/call", c.Target.Prefix+"big")
	if err != nil || c.big.matches(message, c.id) {
		return err
	}
	if err := c.checkText(message, isBig); err != nil {
		return err
	}
	c.big = learn(message)
	return nil
}

// Stats calls the tool stats and returns its text.
func (c *Client) Stats() (string, error) {
	c.body = append(append(append(c.body[:0], `"name":"`...), c.Target.Prefix...), `stats","arguments":{}`...)
	message, err := c.request("tools/call", c.Target.Prefix+"stats")
	if err != nil {
		return "", err
	}
	var text string
	err = c.checkText(message, func(raw []byte) (ok bool) {
		text, ok = rawjson.String(raw)
		return ok
	})
	return text, err
}

// isBig wants the repeated line of 98 digits and a line end, however a peer has escaped it.
func isBig(raw []byte) bool {
	text, ok := rawjson.String(raw)
	if !ok || len(raw) < bigSize || len(raw) > bigSize+bigSize/64 || len(text)%99 != 0 {
		return false
	}
	line := text[:99]
	return line[98] == '\n' && strings.Count(text, line) == len(text)/99
}

// maxPages bounds how often a list may say that there is more.
const maxPages = 1000

// page is a part of a list that was checked before: what it looked like, the tools on it and the raw cursor behind it.
type page struct {
	template
	names []string
	next  string
}

// List lists all tools, following cursors, and wants as many as want, each with another name and with a schema.
func (c *Client) List(want int) error {
	cursor, changed, pages := "", false, 0
	for more := true; more; more = cursor != "" {
		p, fresh, err := c.listPage(pages, cursor)
		if err != nil {
			return err
		}
		if pages++; pages > maxPages {
			return fmt.Errorf("%w: the list does not end within %d pages", ErrWrong, maxPages)
		}
		changed = changed || fresh
		cursor = p.next
	}
	if !changed {
		return nil
	}
	names := map[string]bool{}
	for _, p := range c.pages[:pages] {
		for _, name := range p.names {
			names[name] = true
		}
	}
	if len(names) != want {
		c.pages = nil // so that the next list is counted again
		return fmt.Errorf("%w: %d tools listed, want %d", ErrWrong, len(names), want)
	}
	return nil
}

// listPage gets the n-th page; fresh says that it is another than the time before.
func (c *Client) listPage(n int, cursor string) (p page, fresh bool, err error) {
	c.body = c.body[:0]
	if cursor != "" {
		c.body = append(append(c.body, `"cursor":`...), cursor...)
	}
	message, err := c.request("tools/list", "")
	if err != nil {
		return page{}, false, err
	}
	if n < len(c.pages) && c.pages[n].matches(message, c.id) {
		return c.pages[n], false, nil
	}
	p, err = readPage(message)
	if err == nil && c.Revision == Modern {
		err = checkHints(message)
	}
	if err != nil {
		return page{}, false, err
	}
	c.pages = append(c.pages[:min(n, len(c.pages))], p)
	return p, true, nil
}

func readPage(message []byte) (page, error) {
	tools, ok := rawjson.Get(message, "result", "tools")
	if !ok {
		return page{}, fmt.Errorf("%w: no list of tools: %s", ErrWrong, cut(message))
	}
	p := page{template: learn(message)}
	if next, ok := rawjson.Get(message, "result", "nextCursor"); ok {
		p.next = string(next)
	}
	bad := false
	err := rawjson.Elements(tools, func(tool []byte) bool {
		name, ok := rawjson.Get(tool, "name")
		schema, has := rawjson.Get(tool, "inputSchema")
		bad = bad || !ok || !has || schema[0] != '{'
		p.names = append(p.names, string(name))
		return !bad
	})
	if err != nil || bad {
		return page{}, fmt.Errorf("%w: a tool without name or schema, or malformed: %s", ErrWrong, cut(tools))
	}
	return p, nil
}

// checkHints wants what 2026-07-28 requires of a result that may be cached.
func checkHints(message []byte) error {
	for _, name := range []string{"resultType", "ttlMs", "cacheScope"} {
		if _, ok := rawjson.Get(message, "result", name); !ok {
			return fmt.Errorf("%w: the list has no %s", ErrWrong, name)
		}
	}
	return nil
}
