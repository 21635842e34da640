package content

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// hint is something that the tag, the class, the id or the role of an element says about what is in it.
type hint int

// hintWords are parts of classes and ids, hint by hint.
var hintWords = [...]string{
	"nav menu topbar navbar",
	"footer foot- copyright",
	"sidebar side-bar rail aside",
	"comment disqus discuss",
	"related recommend also-like more-from similar upsell cross-sell up-next trending popular",
	"share social follow facebook twitter",
	"promo sponsor advert ad- -ad ads banner",
	"cookie consent gdpr modal popup overlay dialog",
	"breadcrumb crumb",
	"byline author date time meta posted published",
	"content body text prose entry markdown richtext rte",
	"article post story blog",
	"product pdp sku price buy",
	"description detail overview summary spec feature about",
	"review rating star testimonial",
	"forum thread message reply topic bbp",
	"card item tile grid list result",
	"header head masthead",
	"title headline heading",
	"search login signin sign-in account register cart",
	"newsletter subscribe signup email form",
	"widget module block-",
	"caption credit figure image media gallery",
	"tag categor label badge",
	"pag next prev",
	"toc table-of index outline",
	"signature avatar user profile member",
	"quote",
	"hero intro lead section",
	"tab accordion faq collapse panel",
	"code highlight pre",
	"skip hidden sr-only screen-reader visually",
	"main primary container wrapper",
	"button btn cta action link",
}

const (
	hintMain hint = iota + hint(len(hintWords)) // further hints, by tag and role
	hintArticle
	hintNav
	hintHeader
	hintFooter
	hintAside
	hintForm
	hintTable
	hintList
	hintItem
	hintFigure
	hintQuote
	hintSection
	hintLink
	hintDefinition
	hintBody // itemprop
	hintCount
)

func hintsOf(n *html.Node) (found [hintCount]bool) {
	name := strings.ToLower(attr(n, "class") + " " + attr(n, "id"))
	if len(name) > 1 {
		name = name[:min(len(name), 200)]
		for i, words := range hintWords {
			found[i] = containsAny(name, words)
		}
	}
	if h, ok := tagHint(n.DataAtom); ok {
		found[h] = true
	}
	switch attr(n, "role") {
	case "main":
		found[hintMain] = true
	case "article":
		found[hintArticle] = true
	case "navigation", "menu", "menubar":
		found[hintNav] = true
	case "banner":
		found[hintHeader] = true
	case "contentinfo":
		found[hintFooter] = true
	case "complementary":
		found[hintAside] = true
	case "search", "form":
		found[hintForm] = true
	case "list":
		found[hintList] = true
	case "listitem":
		found[hintItem] = true
	}
	switch attr(n, "itemprop") {
	case "articleBody", "text", "description", "mainEntity", "reviewBody", "mainContentOfPage":
		found[hintBody] = true
	}
	return found
}

func containsAny(text, words string) bool {
	for word := range strings.FieldsSeq(words) {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func tagHint(a atom.Atom) (hint, bool) {
	switch a {
	case atom.Main:
		return hintMain, true
	case atom.Article:
		return hintArticle, true
	case atom.Nav, atom.Menu:
		return hintNav, true
	case atom.Header:
		return hintHeader, true
	case atom.Footer:
		return hintFooter, true
	case atom.Aside:
		return hintAside, true
	case atom.Form, atom.Fieldset, atom.Dialog:
		return hintForm, true
	case atom.Table:
		return hintTable, true
	case atom.Ul, atom.Ol:
		return hintList, true
	case atom.Li:
		return hintItem, true
	case atom.Figure, atom.Figcaption:
		return hintFigure, true
	case atom.Blockquote:
		return hintQuote, true
	case atom.Section:
		return hintSection, true
	case atom.A, atom.Button:
		return hintLink, true
	case atom.Dl, atom.Dd, atom.Dt, atom.Details:
		return hintDefinition, true
	}
	return 0, false
}
