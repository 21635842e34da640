package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Audit says what is recorded of calls, so that it can be proven later who had what done. Without a directory nothing is.
type Audit struct {
	// Directory of the audit log: segments of one JSON object per line, each chained to the one before it by SHA-256. It
	// must not be shared by two processes. When empty there is no audit log.
	Dir string `yaml:"dir" path:"true" example:"/var/lib/dragoman/audit"`
	// Directory of the signed checkpoints, without which a log that was cut off at its end, or written anew as a whole,
	// looks whole. Best on another volume, or one that others collect. When empty it is the directory checkpoints in dir.
	Checkpoints string `yaml:"checkpoints" path:"true" example:"/mnt/other/dragoman-checkpoints"`
	// File with the key that signs checkpoints, made at the first start, readable by its owner only. Digests of arguments
	// are made with a key that is derived from it. When empty it is audit.key in dir.
	KeyFile string `yaml:"key_file" path:"true" example:"/etc/dragoman/audit.key"`
	// Calls that change nothing (resources/read, prompts/get, completions and tools named in read_tools): outcome records
	// each when it has ended and answers even if that fails; strict records as for calls with side effects, before and
	// after, and refuses them when that fails; off does not record them. Lists and pings are recorded by strict alone.
	Reads string `yaml:"reads" default:"outcome" enum:"off|outcome|strict"`
	// Tools whose calls change nothing, as server.tool or with * in place of either's end. What a server says of its
	// own tools counts for nothing here. All other tools are taken to have side effects.
	ReadTools []string `yaml:"read_tools" example:"[time.*, files.read_file]"`
	// What is kept of arguments: digest is a keyed digest, by which a known text can be recognised; redacted adds the
	// arguments themselves without what looks like a secret, cut to argument_size.
	Arguments string `yaml:"arguments" default:"redacted" enum:"digest|redacted"`
	// Most bytes of one call's arguments in the log.
	ArgumentSize Size `yaml:"argument_size" default:"2KiB" min:"64" max:"64KiB"`
	// How long the record before a call waits for others that share its way to the disk: this long, or as long as a flush
	// takes, at most four times this; and up to eight times this while they keep coming. Nobody waits when no others have
	// come of late. What arrives while the disk is busy shares anyway.
	Window time.Duration `yaml:"window" default:"500us" min:"0s" max:"100ms"`
	// How long a call waits for its record to be on disk. Then it is refused.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"10ms" max:"1m"`
	// Most bytes of one segment; then the next is begun.
	SegmentSize Size `yaml:"segment_size" default:"64MiB" min:"64KiB" max:"10GiB"`
	// Longest time that one segment is written to.
	SegmentAge time.Duration `yaml:"segment_age" default:"24h" min:"1m" max:"8760h"`
	// How long segments are kept after their last record. Their removal is signed, so that it is told from a theft. 0 keeps
	// them for ever.
	Retention time.Duration `yaml:"retention" default:"0s" min:"0s" max:"175200h"`
	// Most records between two checkpoints.
	CheckpointRecords int `yaml:"checkpoint_records" default:"1000" min:"1" max:"1000000"`
	// Longest time from a record to a checkpoint that covers it.
	CheckpointInterval time.Duration `yaml:"checkpoint_interval" default:"10s" min:"100ms" max:"1h"`
}

// CheckpointDir is where checkpoints go.
func (a Audit) CheckpointDir() string {
	if a.Checkpoints != "" {
		return a.Checkpoints
	}
	return filepath.Join(a.Dir, "checkpoints")
}

// Key is the file of the key that signs.
func (a Audit) Key() string {
	if a.KeyFile != "" {
		return a.KeyFile
	}
	return filepath.Join(a.Dir, "audit.key")
}

// audit checks what one value means for another.
func (c *checker) audit() {
	a := c.Audit
	for i, tool := range a.ReadTools {
		server, name, ok := strings.Cut(tool, ".")
		if !ok || server == "" || name == "" || strings.ContainsAny(strings.TrimSuffix(server, "*")+strings.TrimSuffix(name, "*"), "*?[ ") {
			c.fault(fmt.Sprintf("audit.read_tools[%d]", i), fmt.Sprintf("%q does not name a tool", tool),
				"write server.tool, or server.* for all of a server, or *.get_* for names that begin alike")
		}
	}
	if a.Retention > 0 && a.Retention < a.SegmentAge {
		c.fault("audit.retention", fmt.Sprintf("%s is shorter than segment_age, %s", a.Retention, a.SegmentAge),
			"make it longer, or segments shorter: only whole segments are removed")
	}
}
