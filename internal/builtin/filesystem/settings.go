package filesystem

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/index"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
)

type settings struct {
	// The places that are served. None means the working directory, read-only, without keys and the like.
	Mounts []mountSettings `yaml:"mounts"`
	Search searchSettings  `yaml:"search"`
	Limits server.Limits   `yaml:"limits"`
}

type mountSettings struct {
	// The first element of its paths. May be left out when there is one mount.
	Name string `yaml:"name"`
	// A directory, file:///directory, s3://bucket/prefix or gs://bucket/prefix.
	URL string `yaml:"url" required:"true"`
	// How a bucket of S3 is reached, and with which keys.
	S3 s3Settings `yaml:"s3"`
	// The same of Google Cloud Storage.
	GCS gcsSettings `yaml:"gcs"`
	// How often files of a bucket that somebody watches are looked at; each look is a request.
	Poll time.Duration `yaml:"poll" default:"10s" min:"1s" max:"1h"`
	// Whether anything may be changed.
	Write bool `yaml:"write" default:"false"`
	// The only directory within it that is served.
	Prefix string `yaml:"prefix"`
	// The largest file that is written or edited.
	MaxBytes server.Size `yaml:"max_bytes" default:"16MiB" min:"1" max:"1GiB"`
	// The only extensions that files may have, such as .md.
	Extensions []string `yaml:"extensions"`
	// Whether names that begin with a dot are served.
	Hidden bool `yaml:"hidden" default:"false"`
	// Patterns of what is not served, such as *.pem or private/**.
	Deny []string `yaml:"deny"`
}

type searchSettings struct {
	// Memory for what is remembered of files, for each mount.
	Memory server.Size `yaml:"memory" default:"64MiB" min:"64KiB" max:"4GiB"`
	// Larger files are not searched by content.
	MaxFile server.Size `yaml:"max_file" default:"64MiB" min:"1KiB" max:"16GiB"`
	// Larger objects of a bucket are not searched by content.
	MaxObject server.Size `yaml:"max_object" default:"8MiB" min:"1KiB" max:"1GiB"`
	// How much one call reads of a bucket's objects; then it says where to go on.
	MaxFetch server.Size `yaml:"max_fetch" default:"64MiB" min:"1KiB" max:"16GiB"`
	// How many objects of a bucket one call reads at a time.
	AtOnce int `yaml:"at_once" default:"8" min:"1" max:"64"`
}

// Validate says what is wrong with mounts as a whole.
func (s *settings) Validate() error {
	seen := map[string]bool{}
	for i, m := range s.Mounts {
		key, err := volume.Clean(m.Name)
		switch {
		case m.Name == "" && len(s.Mounts) > 1:
			return fmt.Errorf("mounts[%d] has no name: give each mount one when there are several", i)
		case err != nil || key != m.Name || strings.Contains(key, "/"):
			return fmt.Errorf("mounts[%d].name %q is not one element of a path", i, m.Name)
		case seen[m.Name]:
			return fmt.Errorf("mounts[%d].name %q is given twice", i, m.Name)
		}
		seen[m.Name] = true
		if _, err := m.policy(); err != nil {
			return fmt.Errorf("mounts[%d].%w", i, err)
		}
		if err := m.place(); err != nil {
			return fmt.Errorf("mounts[%d].%w", i, err)
		}
	}
	return nil
}

func (m mountSettings) policy() (*policy, error) {
	p := &policy{write: m.Write, hidden: m.Hidden}
	var err error
	if p.prefix, err = volume.Clean(m.Prefix); err != nil {
		return nil, fmt.Errorf("prefix: %w", err)
	}
	for _, pattern := range m.Deny {
		g, err := index.ParseGlob(fold(strings.TrimSuffix(pattern, "/**")))
		if err != nil || strings.Trim(pattern, "/* ") == "" {
			return nil, fmt.Errorf("deny: cannot read the pattern %q", pattern)
		}
		p.deny = append(p.deny, g)
	}
	for _, e := range m.Extensions {
		if e == "" {
			return nil, errors.New("extensions: one is empty")
		}
		p.extensions = append(p.extensions, "."+strings.ToLower(strings.TrimPrefix(e, ".")))
	}
	return p, nil
}
