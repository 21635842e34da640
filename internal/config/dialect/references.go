package dialect

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	braced     = regexp.MustCompile(`\$\$|\$\{[^}]*\}`)
	bareDollar = regexp.MustCompile(`\$\$|\$\{[^}]*\}|\$[A-Za-z_][A-Za-z0-9_]*`)
	braces     = regexp.MustCompile(`\{(?:env|file):[^}]*\}`)
)

// references turns what the client expands in a text into our references, and escapes what only we would expand.
func (b *builder) references(text string) string {
	if b.Literal {
		text = Escape(text)
	}
	if b.Braces {
		text = braces.ReplaceAllStringFunc(text, func(ref string) string { return "$" + ref })
	}
	if b.Literal {
		return text
	}
	pattern := braced
	if b.BareDollar {
		pattern = bareDollar
	}
	return pattern.ReplaceAllStringFunc(text, func(ref string) string {
		switch {
		case ref == "$$":
			return "$$$$"
		case ref[1] != '{':
			return "${" + ref[1:] + "}"
		}
		return b.reference(ref, ref[2:len(ref)-1])
	})
}

// reference translates ${name}. What is not known is left for the loader, which says so.
func (b *builder) reference(ref, name string) string {
	if id, ok := strings.CutPrefix(name, "input:"); ok {
		variable := Variable(id)
		b.remark(fmt.Sprintf("the client asks for %q; set the environment variable %s instead", id, variable))
		return "${" + variable + "}"
	}
	switch name {
	case "workspaceFolder", "workspaceRoot", "workspaceFolderBasename":
		if b.Folder == "" {
			b.remark("the client means the folder that is open by " + ref + "; put a path in its place")
			return ref
		}
		if name == "workspaceFolderBasename" {
			return Escape(filepath.Base(b.Folder))
		}
		return Escape(b.Folder)
	case "userHome":
		if b.Home != "" {
			return Escape(b.Home)
		}
	case "pathSeparator", "/":
		return string(filepath.Separator)
	}
	return ref
}

func (b *builder) remark(text string) {
	if !slices.Contains(b.out.Remarks, text) {
		b.out.Remarks = append(b.out.Remarks, text)
	}
}

// Escape writes a literal text so that no part of it is a reference.
func Escape(text string) string {
	return strings.NewReplacer("$$", "$$$$", "${", "$${").Replace(text)
}

// Variable makes the name of an environment variable from any words: github-token becomes GITHUB_TOKEN.
func Variable(words string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_':
			return r
		}
		return '_'
	}, words)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name
}
