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
