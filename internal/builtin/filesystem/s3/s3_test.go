package s3_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/s3"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is the secret key, which must not be told.
const canary = "canary-9e77"

// service is a service, and the store of a bucket in it.
func service(t *testing.T, answer http.HandlerFunc) *s3.Store {
	t.Helper()
	at := httptest.NewServer(answer)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		at.Close()
	})
	return store(t, at.URL, transport)
}

func store(t *testing.T, endpoint string, transport http.RoundTripper) *s3.Store {
	t.Helper()
	s, err := s3.New(s3.Options{Bucket: "bkt", Endpoint: endpoint, Region: "us-east-1", AccessKey: "key", SecretKey: canary, SessionToken: canary, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestErrorsAreKnown(t *testing.T) {
	for _, tc := range []struct {
		name, code string
		status     int
		want       error
	}{
		{"the object is not there", "NoSuchKey", 404, fs.ErrNotExist},
		{"the bucket is not there", "NoSuchBucket", 404, volume.ErrNoBucket},
		{"the key is none", "InvalidAccessKeyId", 403, volume.ErrRefused},
		{"the secret is wrong", "SignatureDoesNotMatch", 403, volume.ErrRefused},
		{"the session is over", "ExpiredToken", 400, volume.ErrRefused},
		{"the clock is wrong", "RequestTimeTooSkewed", 403, volume.ErrRefused},
		{"the keys may not", "AccessDenied", 403, fs.ErrPermission},
		{"it has changed", "PreconditionFailed", 412, volume.ErrChanged},
		{"there are too many requests", "SlowDown", 503, volume.ErrBusy},
		{"the service is broken", "InternalError", 500, volume.ErrUnreachable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := service(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>`, tc.code)
			})
			_, _, err := s.Get(t.Context(), "a", objects.Range{Length: 10})
			if !errors.Is(err, tc.want) || strings.Contains(err.Error(), canary) {
				t.Errorf("get: got %v, want %v", err, tc.want)
			}
			if _, _, err := s.List(t.Context(), objects.Query{Max: 1}); !errors.Is(err, tc.want) {
				t.Errorf("list: got %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		if _, err := store(t, "http://127.0.0.1:1", &http.Transport{}).Head(t.Context(), "a"); !errors.Is(err, volume.ErrUnreachable) {
			t.Errorf("got %v, want that it cannot be reached", err)
		}
	})
}

// TestEachChangeHasItsCondition looks at what is sent for whole objects, for those in parts, copies and deletions: the
// request that makes the change has the condition, and those for parts have none.
func TestEachChangeHasItsCondition(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	there := false
	s := service(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("ETag", `"tag"`)
		w.Header().Set("Last-Modified", "Sat, 21 Nov 2026 09:00:00 GMT")
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", fmt.Sprint(17<<20))
			if !there {
				w.WriteHeader(http.StatusNotFound)
			}
			return
		}
		what := r.Method
		for _, part := range []string{"uploads", "partNumber", "uploadId"} {
			if r.URL.Query().Has(part) {
				what += " " + part
			}
		}
		seen = append(seen, what+" "+r.Header.Get("If-Match")+r.Header.Get("If-None-Match"))
		switch {
		case r.URL.Query().Has("uploads"):
			fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
		case r.Method == http.MethodPost:
			there = true
			fmt.Fprint(w, `<CompleteMultipartUploadResult><Bucket>bkt</Bucket><Key>a</Key><ETag>"tag"</ETag></CompleteMultipartUploadResult>`)
		case r.Header.Get("X-Amz-Copy-Source") != "":
			fmt.Fprint(w, `<CopyObjectResult><ETag>"tag"</ETag><LastModified>2026-11-21T09:00:00Z</LastModified></CopyObjectResult>`)
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	absent, match := volume.Condition{Absent: true}, volume.Condition{Match: "tag"}
	put := func(size int, when volume.Condition) func() error {
		return func() error {
			o, err := s.Put(t.Context(), "a", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", size))}, int64(size), when)
			if err == nil && (o.Tag != "tag" || o.Size != int64(size)) {
				return fmt.Errorf("made %+v", o)
			}
			return err
		}
	}
	for _, tc := range []struct {
		name  string
		there bool
		try   func() error
		want  []string
	}{
		{"a new object", false, put(3, absent), []string{"PUT *"}},
		{"an object that is replaced", true, put(3, match), []string{`PUT "tag"`}},
		{"an object without a condition", true, put(3, volume.Condition{}), []string{"PUT "}},
		{"a new one in parts", false, put(17<<20, absent), []string{"POST uploads ", "PUT partNumber uploadId ", "PUT partNumber uploadId ", "POST uploadId *"}},
		{"a copy", false, func() error {
			_, err := s.Copy(t.Context(), objects.Object{Name: "b", Tag: "tag"}, "a", absent)
			return err
		}, []string{"PUT *"}},
		{"a deletion", true, func() error { return s.Delete(t.Context(), "a", "tag") }, []string{`DELETE "tag"`}},
	} {
		mu.Lock()
		seen, there = nil, tc.there
		mu.Unlock()
		err := tc.try()
		if got := strings.Join(seen, ", "); err != nil || got != strings.Join(tc.want, ", ") {
			t.Errorf("%s: got %q, %v, want %q", tc.name, got, err, tc.want)
		}
	}
	there, seen = true, nil
	if err := put(3, absent)(); !errors.Is(err, fs.ErrExist) || len(seen) > 0 {
		t.Errorf("a new object where one is: got %v after %q", err, seen)
	}
	if err := put(3, volume.Condition{Match: "other"})(); !errors.Is(err, volume.ErrChanged) || len(seen) > 0 {
		t.Errorf("an object that has changed: got %v after %q", err, seen)
	}
}

// TestPagesAreInOrderAndWhole reads a page whose directories come after its objects.
func TestPagesAreInOrderAndWhole(t *testing.T) {
	s := service(t, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("delimiter") != "/" || q.Get("prefix") != "p/" || q.Get("start-after") != "p/0/\U0010ffff" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>
			<Contents><Key>p/a</Key><Size>1</Size></Contents><Contents><Key>p/z</Key><Size>2</Size></Contents><CommonPrefixes><Prefix>p/b/</Prefix></CommonPrefixes></ListBucketResult>`)
	})
	page, more, err := s.List(t.Context(), objects.Query{Prefix: "p/", After: "p/0/", Max: 3})
	var got []string
	for _, o := range page {
		got = append(got, fmt.Sprint(o.Name, o.Dir))
	}
	if want := "p/afalse p/b/true p/zfalse"; err != nil || !more || strings.Join(got, " ") != want {
		t.Errorf("got %q, more %v, %v, want %q and more", got, more, err, want)
	}
}
