package filesystem

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/gcs"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/index"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/local"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/s3"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
)

type s3Settings struct {
	// Such as https://minio.example.com; Amazon's when left out.
	Endpoint string `yaml:"endpoint"`
	// Asked of the service when left out, which needs the right to ask.
	Region string `yaml:"region"`
	// Whether the bucket is a part of the host's name or of the path.
	Style string `yaml:"style" default:"auto" enum:"auto|path|host"`
	// The keys. session_token is for temporary ones.
	AccessKey    server.Secret `yaml:"access_key"`
	SecretKey    server.Secret `yaml:"secret_key"`
	SessionToken server.Secret `yaml:"session_token"`
	// No keys: for buckets that everybody may read.
	Anonymous bool `yaml:"anonymous" default:"false"`
}

type gcsSettings struct {
	// That of an emulator; Google's when left out.
	Endpoint string `yaml:"endpoint"`
	// The content of a service account's key file: ${file:/run/secrets/key.json}.
	Credentials server.Secret `yaml:"credentials"`
	// Whether tokens come from the metadata service of the machine, which must be Google's.
	Metadata bool `yaml:"metadata" default:"false"`
	// No token: for buckets that everybody may read, and emulators.
	Anonymous bool `yaml:"anonymous" default:"false"`
}

// bucketName is what both services allow; Google allows _, too.
const bucketName = `[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]`

// bucket takes the URL of a bucket apart. Nothing in it is decoded.
func (m mountSettings) bucket() (scheme, bucket, prefix string, found bool) {
	scheme, rest, found := strings.Cut(m.URL, "://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	return scheme, bucket, prefix, found && scheme != "file"
}

// place says what is wrong with the URL and what belongs to it.
func (m mountSettings) place() error {
	scheme, bucket, prefix, remote := m.bucket()
	if !remote {
		if m.S3 != (s3Settings{Style: m.S3.Style}) || m.GCS != (gcsSettings{}) {
			return fmt.Errorf("url %q is a directory: take out s3 and gcs, or write s3://bucket or gs://bucket", m.URL)
		}
		return nil
	}
	if scheme != "s3" && scheme != "gs" {
		return fmt.Errorf("url: there are no mounts of %.20s://; give a directory, file:///directory, s3://bucket/prefix or gs://bucket/prefix", scheme)
	}
	if ok, err := regexp.MatchString("^"+bucketName+"$", bucket); err != nil || !ok {
		return fmt.Errorf("url: %.100q is not the name of a bucket, which has 3 lower-case letters or digits at least; write %s://bucket or %s://bucket/prefix", bucket, scheme, scheme)
	}
	if _, err := volume.Clean(prefix); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if scheme == "s3" {
		return m.S3.check(m.GCS)
	}
	return m.GCS.check(m.S3)
}

func (s s3Settings) check(other gcsSettings) error {
	keys := s.AccessKey.Reveal() != "" && s.SecretKey.Reveal() != ""
	some := s.AccessKey.Reveal()+s.SecretKey.Reveal()+s.SessionToken.Reveal() != ""
	switch {
	case other != gcsSettings{}:
		return fmt.Errorf("gcs belongs to gs:// URLs: take it out")
	case s.Anonymous && some:
		return fmt.Errorf("s3: anonymous is set, and there are keys: take one of them out")
	case !s.Anonymous && !keys:
		return fmt.Errorf("s3: give access_key and secret_key, as in access_key: ${S3_ACCESS_KEY}, or anonymous: true for a public bucket")
	}
	_, err := s3.New(s3.Options{Endpoint: s.Endpoint, Bucket: "any"})
	if err != nil {
		return fmt.Errorf("s3.endpoint: %w", err)
	}
	return nil
}

func (g gcsSettings) check(other s3Settings) error {
	ways := 0
	for _, way := range []bool{g.Credentials.Reveal() != "", g.Metadata, g.Anonymous} {
		if way {
			ways++
		}
	}
	switch {
	case other != s3Settings{Style: other.Style}:
		return fmt.Errorf("s3 belongs to s3:// URLs: take it out")
	case ways != 1:
		return fmt.Errorf("gcs: give one of credentials (${file:key.json}), metadata: true on a machine of Google's, and anonymous: true for a public bucket")
	}
	if _, err := gcs.New(gcs.Options{Endpoint: g.Endpoint, Credentials: g.Credentials.Reveal(), Bucket: "any"}); err != nil {
		return fmt.Errorf("gcs: %w", err)
	}
	return nil
}

// A mount is a volume with its policy. Keys within it begin at the prefix.
type mount struct {
	name   string
	volume volume.Volume
	index  *index.Index
	policy *policy
	max    int64         // bytes of a file that is written
	remote bool          // each look costs a request, and there are no real directories
	poll   time.Duration // between two looks at what is watched
}

// maker makes what mounts need.
type maker struct {
	env     *server.Env
	network func(server.Reach) (*server.Network, error)
	search  searchSettings
	tagKey  []byte // of etags of files; empty for none
}

func (s *settings) open(mk maker) ([]*mount, error) {
	list := s.Mounts
	mk.search = s.Search
	if len(list) == 0 {
		list = []mountSettings{{URL: ".", MaxBytes: 16 << 20, Deny: secrets()}}
	}
	var mounts []*mount
	for _, m := range list {
		one, err := m.open(mk)
		if err != nil {
			for _, m := range mounts {
				_ = m.volume.Close()
			}
			return nil, fmt.Errorf("mount %s: %w", m.URL, err)
		}
		mounts = append(mounts, one)
	}
	return mounts, nil
}

func (m mountSettings) open(mk maker) (*mount, error) {
	p, err := m.policy()
	if err != nil {
		return nil, err
	}
	one := &mount{name: m.Name, policy: p, max: int64(m.MaxBytes), poll: watchEvery}
	o := index.Options{Bytes: int(mk.search.Memory), MaxFile: int64(mk.search.MaxFile)}
	if scheme, bucket, prefix, remote := m.bucket(); remote {
		o.MaxFile, o.PerSearch, o.AtOnce = int64(mk.search.MaxObject), int64(mk.search.MaxFetch), mk.search.AtOnce
		one.remote, one.poll = true, m.Poll
		one.volume, err = m.objects(mk, scheme, bucket, prefix)
	} else {
		one.volume, err = m.directory(mk.env, p, mk.tagKey)
	}
	if err != nil {
		return nil, err
	}
	one.index = index.New(one.volume, o)
	return one, nil
}

func (m mountSettings) directory(env *server.Env, p *policy, key []byte) (volume.Volume, error) {
	dir := strings.TrimPrefix(m.URL, "file://")
	if strings.HasPrefix(dir, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(home, dir[2:])
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(env.Dir, dir)
	}
	return local.Open(dir, p.link, key)
}

// objects opens a bucket. Nothing is sent yet: a service that is down now may be up later.
func (m mountSettings) objects(mk maker, scheme, bucket, prefix string) (volume.Volume, error) {
	endpoint := m.S3.Endpoint
	if scheme == "gs" {
		endpoint = m.GCS.Endpoint
	}
	send, err := mk.transport(endpoint)
	if err != nil {
		return nil, err
	}
	prefix, err = volume.Clean(prefix)
	if err != nil {
		return nil, err
	}
	var store objects.Store
	if scheme == "s3" {
		store, err = s3.New(s3.Options{
			Bucket: bucket, Endpoint: m.S3.Endpoint, Region: m.S3.Region, Style: m.S3.Style, Transport: send,
			AccessKey: m.S3.AccessKey.Reveal(), SecretKey: m.S3.SecretKey.Reveal(), SessionToken: m.S3.SessionToken.Reveal(),
		})
	} else {
		o := gcs.Options{
			Bucket: bucket, Endpoint: m.GCS.Endpoint, Credentials: m.GCS.Credentials.Reveal(), Metadata: m.GCS.Metadata,
			Write: m.Write, Transport: send, Now: mk.env.Now,
		}
		if o.Metadata {
			if o.MetadataTransport, err = mk.metadata(); err != nil {
				return nil, err
			}
		}
		store, err = gcs.New(o)
	}
	if err != nil {
		return nil, err
	}
	return objects.New(store, prefix)
}

// transport reaches what the operator has configured, and if that is an endpoint, nothing else.
func (mk maker) transport(endpoint string) (http.RoundTripper, error) {
	reach := server.Reach{Private: true, TrustProxy: true}
	if at, err := url.Parse(endpoint); err == nil && endpoint != "" {
		reach.Allow = []string{at.Hostname()}
		reach.Only = []string{at.Hostname()}
		if strings.ContainsFunc(at.Hostname(), func(r rune) bool { return r > '9' && r != ':' }) {
			reach.Only = append(reach.Only, "*."+at.Hostname()) // the bucket's name may stand before it
		}
	}
	n, err := mk.network(reach)
	if err != nil {
		return nil, err
	}
	return patient{n.RoundTripper(), patience}, nil
}

// metadata reaches the metadata service, which no other way out does.
func (mk maker) metadata() (http.RoundTripper, error) {
	const address = "169.254.169.254"
	n, err := mk.network(server.Reach{Allow: []string{address}, Only: []string{address}})
	if err != nil {
		return nil, err
	}
	return n.RoundTripper(), nil
}
