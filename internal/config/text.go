package config

// Text says what clients are shown of what a server writes. What nobody sees are control characters and terminal
// sequences, characters that turn the direction of text, tags, characters without width, and selectors with which bytes
// are carried; what scripts and emoji need of these stays. docs/servers.md tells more.
type Text struct {
	// What becomes of a definition that has something nobody sees: a tool, prompt, resource or template with all that
	// its schemas and annotations say, or the server's instructions. It is shown without that (strip), it is left out
	// (withhold), or it is shown as it is, whatever its length (keep). Errors are shown without it unless this is keep.
	// A name that hides something would be another name without it, so that such a definition is left out even with strip.
	Definitions string `yaml:"definitions" default:"strip" enum:"strip|withhold|keep"`
	// What becomes of it in results, progress and log messages: nothing (keep), since a file that is read, changed and
	// written back must have all of its characters, or it is taken out (strip).
	Results string `yaml:"results" default:"keep" enum:"keep|strip"`
	// Most bytes of the name of a tool or prompt. One whose name is longer is left out.
	NameLength int `yaml:"name_length" default:"512" min:"16" max:"4096"`
	// Most bytes of each title and description, of the instructions, and of an error's message. The rest is cut, and the end
	// says so.
	Length Size `yaml:"length" default:"64KiB" min:"256" max:"1MiB"`
}
