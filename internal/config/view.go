package config

// View is a named subset of everything, at its own address /mcp/{view}. Entries are written server__name, with the
// separator of names; in an entry * stands for any characters and ? for one, so files__* is all of files.
type View struct {
	// Name is the view's key in the file.
	Name string `yaml:"-"`

	// Name for people, shown in lists.
	Title string `yaml:"title"`
	// What the view is for, in a sentence.
	Description string `yaml:"description"`
	// Tools that the view shows.
	Tools []string `yaml:"tools" example:"[files__read_text_file, time__*]"`
	// Prompts that the view shows.
	Prompts []string `yaml:"prompts" example:"[git__commit_message]"`
	// Resources and templates that the view shows, as server__uri; patterns match across slashes.
	Resources []string `yaml:"resources" example:"[\"files__file:///data/*\"]"`
	// Tools and prompts under another name: the name that the view shows, then the one that they have without the
	// view. What is renamed is part of the view, under the new name only.
	Rename map[string]string `yaml:"rename" example:"{read: files__read_text_file}"`
	// Other titles and descriptions for tools and prompts, by the name that the view shows.
	Override map[string]Override `yaml:"override" aka:"overrides"`
}

// Override replaces what a server says about a tool or prompt. What is not set stays as the server says.
type Override struct {
	// Title in place of the server's.
	Title string `yaml:"title"`
	// Description in place of the server's.
	Description string `yaml:"description"`
}

// HasTool tells whether the view shows the tool of that name without the view (server__name), possibly renamed.
func (v View) HasTool(name string) bool { return matchAny(v.Tools, name) || v.renames(name) }

// HasPrompt tells whether the view shows the prompt of that name without the view (server__name), possibly renamed.
func (v View) HasPrompt(name string) bool { return matchAny(v.Prompts, name) || v.renames(name) }

// HasResource tells whether the view shows the resource, given as server__uri.
func (v View) HasResource(name string) bool { return matchAny(v.Resources, name) }

func (v View) renames(original string) bool {
	for _, o := range v.Rename {
		if o == original {
			return true
		}
	}
	return false
}

// matchAny tells whether one of the patterns matches the whole name.
func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if match(p, name) {
			return true
		}
	}
	return false
}

// match compares a name with a pattern in which * is any run of bytes and ? is one byte. It goes back to the last star
// only, so its time is at most len(pattern) times len(name).
func match(pattern, name string) bool {
	p, n, star, from := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// MatchAny tells whether one of the patterns, in which * is any run of bytes and ? is one byte, matches the whole name.
func MatchAny(patterns []string, name string) bool { return matchAny(patterns, name) }
