// Package page reads what a web server has answered, HTML above all: it decodes
// and parses it within bounds, takes away what people would not see, and gives
// its content as Markdown, its sections, its links, and what it says of itself.
//
// The package does not know how a page was fetched, who asked for it, or how
// much of it will be shown.
package page

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"codeberg.org/readeck/go-readability/v2"
	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
)

//go:embed model.bin
var model []byte

// Reader reads pages. It loads its model when it first needs it. It may be used concurrently.
type Reader struct {
	// MaxNodes bounds the tree of a page; what follows in the page is left out. Default 100,000.
	MaxNodes int

	once  sync.Once
	model *content.Model
	err   error
}

// Input is a page as it came.
type Input struct {
	Body []byte
	// Type is the value of Content-Type; may be empty.
	Type string
	URL  *url.URL
}

// Page is a page that was read.
type Page struct {
	URL  *url.URL
	Meta Meta
	// Hidden says what was taken away because nobody would see it.
	Hidden Hidden
	// Cut is whether the page had more nodes than allowed, and is not whole.
	Cut bool

	body  *html.Node
	kept  map[*html.Node]bool
	doc   *content.Document
	taken []bool
}

// Read reads an HTML page.
func (r *Reader) Read(ctx context.Context, in Input) (*Page, error) {
	r.once.Do(func() { r.model, r.err = content.ReadModel(bytes.NewReader(model)) })
	if r.err != nil {
		return nil, fmt.Errorf("read the model: %w", r.err)
	}
	p, err := r.parse(in)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.Document()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.choose(content.Choose(p.doc, r.model.Judge(p.doc)))
	return p, ctx.Err()
}

// Parse reads an HTML page as Read does, without looking for its content.
func (r *Reader) Parse(in Input) (*Page, error) { return r.parse(in) }

func (r *Reader) parse(in Input) (*Page, error) {
	text := Decode(in.Body, in.Type)
	most := r.MaxNodes
	if most == 0 {
		most = 100_000
	}
	whole := len(text)
	text = within(text, most)
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parse HTML: %w", err)
	}
	p := &Page{URL: in.URL, Cut: len(text) < whole, body: root}
	p.Meta = readMeta(root)
	p.Hidden = reveal(root)
	return p, nil
}

// Document cuts the page into blocks, for who trains or measures the model.
func (p *Page) Document() *content.Document {
	if p.doc == nil {
		p.doc = content.Cut(p.body, p.facts())
	}
	return p.doc
}

// maxArticleNodes bounds the pages that readability is asked about: it takes passes over all of the tree.
const maxArticleNodes = 30_000

// article asks readability, whose judgement is one among the facts that blocks are judged by.
func (p *Page) article() string {
	parser := readability.NewParser()
	parser.MaxElemsToParse = maxArticleNodes
	parser.DisableJSONLD = true
	a, err := parser.ParseDocument(p.body, p.URL)
	if err != nil || a.Node == nil {
		return ""
	}
	return textOf(a.Node)
}

func (p *Page) facts() content.Facts {
	return content.Facts{URL: p.URL, Title: p.Meta.Title, Description: p.Meta.Description, Kind: p.Meta.Kind, Data: strings.Join(p.Meta.Data, "\n"),
		Article: p.article()}
}

// choose marks the text nodes of the blocks that are content.
func (p *Page) choose(taken []bool) {
	p.taken, p.kept = taken, map[*html.Node]bool{}
	for i, b := range p.doc.Blocks {
		if !taken[i] {
			continue
		}
		for _, n := range b.Nodes {
			for ; n != nil && !p.kept[n]; n = n.Parent {
				p.kept[n] = true
			}
		}
	}
}

// Text is the content as plain text, a block to a line.
func (p *Page) Text() string {
	var out strings.Builder
	for i, b := range p.doc.Blocks {
		if p.taken[i] {
			out.WriteString(b.Text)
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// Decode returns a text in UTF-8, whose encoding is told by its byte order mark, its type, or the text itself (HTML,
// "determining the character encoding"). What is not told there, and is UTF-8, is taken for that: nothing else looks
// like it by chance.
func Decode(body []byte, contentType string) []byte {
	encoding, name, certain := charset.DetermineEncoding(body, contentType)
	if name == "utf-8" && utf8.Valid(body) { // as most pages say and are: there is nothing to convert
		return bytes.TrimPrefix(body, []byte(mark))
	}
	if !certain {
		if utf8.Valid(body) {
			return body
		}
		if late := regexp.MustCompile(lateCharset).FindSubmatch(body[:min(len(body), 64<<10)]); late != nil {
			if e, _ := charset.Lookup(string(late[1])); e != nil {
				encoding = e
			}
		}
	}
	text, err := encoding.NewDecoder().Bytes(body)
	if err != nil {
		text = body
	}
	text = bytes.TrimPrefix(text, []byte(mark))
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}

// mark is the byte order mark in UTF-8.
const mark = "\xEF\xBB\xBF"

// lateCharset is the declaration of an encoding that stands later than the 1024 bytes that the standard looks at. It is compiled
// when it is needed, which is seldom.
const lateCharset = `(?i)<meta[^>]{0,200}charset=["']?([a-z0-9_-]{1,40})`
