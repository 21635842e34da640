package gcs_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/gcs"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is in everything that must not be told.
const canary = "canary-5f1c"

// service serves handlers by method and path, and counts what was asked.
func service(t *testing.T, answer http.HandlerFunc) (string, http.RoundTripper) {
	t.Helper()
	s := httptest.NewServer(answer)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
	})
	return s.URL, transport
}

func open(t *testing.T, o gcs.Options) *gcs.Store {
	t.Helper()
	o.Bucket = "bkt"
	s, err := gcs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// account makes a service account's key whose tokens come from uri.
func account(t *testing.T, uri string) (text string, key *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "robot@example.com", "private_key_id": "key-1", "token_uri": uri,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b), key
}

// claims reads the claims of an assertion that key has signed.
func claims(assertion string, key *rsa.PublicKey) (map[string]any, error) {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return nil, errors.New("the assertion has not three parts")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
		return nil, err
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var c map[string]any
	return c, json.Unmarshal(body, &c)
}

// TestAServiceAccountGetsTokens asks for one, keeps it for as long as it is good, and asks again when it is refused.
func TestAServiceAccountGetsTokens(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var mu sync.Mutex
	given, revoked := 0, ""
	var key *rsa.PrivateKey
	var problems []string
	url, transport := service(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/token" {
			c, err := claims(r.FormValue("assertion"), &key.PublicKey)
			if err != nil || c["iss"] != "robot@example.com" || c["aud"] != "http://"+r.Host+"/token" || !strings.HasSuffix(fmt.Sprint(c["scope"]), "devstorage.read_only") {
				problems = append(problems, fmt.Sprint("claims: ", c, err))
			}
			given++
			fmt.Fprintf(w, `{"access_token": "token-%d", "expires_in": 3600}`, given)
			return
		}
		got := r.Header.Get("Authorization")
		if got == revoked || got != fmt.Sprintf("Bearer token-%d", given) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"name": "a", "size": "1", "generation": "7"}`)
	})
	text, k := account(t, url+"/token")
	key = k
	s := open(t, gcs.Options{Endpoint: url, Credentials: text, Transport: transport, Now: func() time.Time { return now }})
	for _, tc := range []struct {
		name  string
		given int
		first func()
	}{
		{"the first request needs a token", 1, func() {}},
		{"the second has it", 1, func() { now = now.Add(58 * time.Minute) }},
		{"it is renewed a minute before its end", 2, func() { now = now.Add(90 * time.Second) }},
		{"one that is refused is replaced", 3, func() { revoked = "Bearer token-2" }},
	} {
		mu.Lock()
		tc.first()
		mu.Unlock()
		o, err := s.Head(t.Context(), "a")
		if err != nil || o.Tag != "7" || given != tc.given {
			t.Errorf("%s: got %+v, %v, and %d tokens were given, want %d", tc.name, o, err, given, tc.given)
		}
	}
	if len(problems) > 0 {
		t.Error(problems)
	}
}

func TestTheMetadataServiceGivesTokens(t *testing.T) {
	meta, viaMeta := service(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" || !strings.HasSuffix(r.FormValue("scopes"), "devstorage.read_write") {
			w.WriteHeader(http.StatusForbidden)
		}
		fmt.Fprint(w, `{"access_token": "of-the-machine", "expires_in": 3600}`)
	})
	url, transport := service(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-the-machine" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprint(w, `{"name": "a", "size": "1", "generation": "7"}`)
	})
	s := open(t, gcs.Options{Endpoint: url, Metadata: true, MetadataEndpoint: meta, MetadataTransport: viaMeta, Write: true, Transport: transport})
	if o, err := s.Head(t.Context(), "a"); err != nil || o.Tag != "7" {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestCredentialsThatAreNoneAreRefusedWithoutTellingThem(t *testing.T) {
	good, _ := account(t, "https://oauth2.example.com/token")
	for name, text := range map[string]string{
		"no JSON":         canary,
		"another type":    `{"type": "authorized_user", "refresh_token": "` + canary + `"}`,
		"no key":          `{"type": "service_account", "client_email": "a", "token_uri": "https://x/y", "private_key": "` + canary + `"}`,
		"no address":      strings.Replace(good, "https://oauth2.example.com/token", canary, 1),
		"a key of no use": strings.Replace(good, "MII", "MIJ", 1),
	} {
		if _, err := gcs.New(gcs.Options{Bucket: "bkt", Credentials: text}); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v, want an error that says nothing of the text", name, err)
		}
	}
}

// uploads is a service that takes resumable uploads and fails on the way.
type uploads struct {
	mu        sync.Mutex
	got       bytes.Buffer
	requests  int
	lose      int  // bytes of the second chunk that it keeps of what it got
	fail      int  // requests that it answers with 503 from the second chunk on
	wrong     bool // tells another checksum
	deleted   []string
	elsewhere string
}

func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests++
	switch {
	case r.Method == http.MethodDelete:
		u.deleted = append(u.deleted, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost && r.FormValue("uploadType") == "resumable":
		w.Header().Set("Location", u.elsewhere+"/upload/session?upload_id="+canary)
	case r.Method == http.MethodPut && r.URL.Path == "/upload/session" && r.FormValue("upload_id") == canary:
		u.take(w, r)
	default:
		w.WriteHeader(http.StatusTeapot)
	}
}

func (u *uploads) take(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	span := r.Header.Get("Content-Range")
	if u.got.Len() > 0 && u.fail > 0 {
		u.fail--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var from, to int
	if n, _ := fmt.Sscanf(span, "bytes %d-%d/", &from, &to); n == 2 {
		if from != u.got.Len() || to-from+1 != len(body) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if u.lose > 0 && u.got.Len() > 0 {
			body, u.lose = body[:u.lose], 0
		}
		u.got.Write(body)
	}
	_, total, _ := strings.Cut(span, "/")
	if total != fmt.Sprint(u.got.Len()) {
		if u.got.Len() > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", u.got.Len()-1))
		}
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	sum := crc32.Checksum(u.got.Bytes(), crc32.MakeTable(crc32.Castagnoli))
	if u.wrong {
		sum++
	}
	fmt.Fprintf(w, `{"name": "f", "size": "%d", "generation": "9", "crc32c": "%s"}`, u.got.Len(), base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum)))
}

// TestALargeUploadGoesOnWhereItFailed sends 5 chunks and a bit.
func TestALargeUploadGoesOnWhereItFailed(t *testing.T) {
	const chunk = 256 << 10
	data := make([]byte, 5*chunk+12345)
	_, _ = rand.Read(data)
	for _, tc := range []struct {
		name    string
		service *uploads
		size    int64
		reader  io.Reader
		fails   bool
		deleted string
	}{
		{"nothing fails", &uploads{}, int64(len(data)), bytes.NewReader(data), false, ""},
		{"the size is not known", &uploads{}, -1, bytes.NewReader(data), false, ""},
		{"the service keeps a part of a chunk", &uploads{lose: 100_000}, int64(len(data)), bytes.NewReader(data), false, ""},
		{"the service is away for a moment", &uploads{fail: 2}, int64(len(data)), bytes.NewReader(data), false, ""},
		{"the address of the session is elsewhere", &uploads{elsewhere: "http://203.0.113.1"}, int64(len(data)), bytes.NewReader(data), false, ""},
		{"the service is away for good", &uploads{fail: 1000}, int64(len(data)), bytes.NewReader(data), true, "/upload/session"},
		{"the bytes are not those that were sent", &uploads{wrong: true}, int64(len(data)), bytes.NewReader(data), true, "/storage/v1/b/bkt/o/f"},
		{"less comes than was said", &uploads{}, int64(len(data)) + 1, bytes.NewReader(data), true, "/storage/v1/b/bkt/o/f"},
		{"the source fails", &uploads{}, int64(len(data)), io.MultiReader(bytes.NewReader(data[:2*chunk]), broken{}), true, "/upload/session"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, transport := service(t, tc.service.ServeHTTP)
			o, err := open(t, gcs.Options{Endpoint: url, Transport: transport, Chunk: chunk}).Put(t.Context(), "f", tc.reader, tc.size, volume.Condition{})
			switch {
			case (err != nil) != tc.fails:
				t.Fatalf("got %+v, %v", o, err)
			case err != nil && strings.Contains(err.Error(), canary):
				t.Errorf("the session is told: %v", err)
			case err == nil && (o.Tag != "9" || o.Size != int64(len(data)) || !bytes.Equal(tc.service.got.Bytes(), data)):
				t.Errorf("got %+v and %d bytes, want %d", o, tc.service.got.Len(), len(data))
			}
			if got := strings.Join(tc.service.deleted, " "); got != tc.deleted {
				t.Errorf("deleted %q, want %q", got, tc.deleted)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the source is broken") }

// TestErrorsAreKnown has the service say what it says.
func TestErrorsAreKnown(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   error
	}{
		{"the object is not there", 404, `{"error": {"code": 404, "message": "No such object: bkt/a"}}`, fs.ErrNotExist},
		{"the bucket is not there", 404, `{"error": {"code": 404, "message": "The specified bucket does not exist."}}`, volume.ErrNoBucket},
		{"the token is refused", 401, `{"error": {"message": "Invalid Credentials"}}`, volume.ErrRefused},
		{"the account may not", 403, `{"error": {"message": "robot does not have storage.objects.get access"}}`, fs.ErrPermission},
		{"it is another generation", 412, `{"error": {"message": "conditionNotMet"}}`, volume.ErrChanged},
		{"there are too many requests", 429, ``, volume.ErrBusy},
		{"the service is broken", 500, `<html>`, volume.ErrUnreachable},
		{"the answer is no JSON", 200, `<html>`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, transport := service(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			})
			_, err := open(t, gcs.Options{Endpoint: url, Transport: transport}).Head(t.Context(), "a")
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		_, err := open(t, gcs.Options{Endpoint: "http://127.0.0.1:1", Transport: &http.Transport{}}).Head(t.Context(), "a")
		if !errors.Is(err, volume.ErrUnreachable) {
			t.Errorf("got %v, want that it cannot be reached", err)
		}
	})
}

// TestRequestsSayWhatIsMeant looks at paths and parameters: names are one segment whatever is in them, and each change
// has its condition.
func TestRequestsSayWhatIsMeant(t *testing.T) {
	const o = `{"done": true, "name": "n", "size": "1", "generation": "8", "resource": {"name": "n", "size": "1", "generation": "8"}}`
	var seen []string
	url, transport := service(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			seen = append(seen, r.Method+" "+r.RequestURI)
		}
		fmt.Fprint(w, o)
	})
	s := open(t, gcs.Options{Endpoint: url, Transport: transport})
	from := objects.Object{Name: "a/../b?c#d%2F é", Tag: "7", Size: 1}
	for _, tc := range []struct {
		name string
		try  func() error
		want string
	}{
		{"a new object", func() error {
			_, err := s.Put(t.Context(), "a/../b?c", strings.NewReader("1"), 1, volume.Condition{Absent: true})
			return err
		}, "POST /upload/storage/v1/b/bkt/o?fields=name%2Csize%2Cupdated%2Cgeneration%2Ccrc32c&ifGenerationMatch=0&name=a%2F..%2Fb%3Fc&uploadType=media"},
		{"an object of a generation", func() error {
			_, err := s.Put(t.Context(), "a", strings.NewReader("1"), 1, volume.Condition{Match: "7"})
			return err
		}, "ifGenerationMatch=7"},
		{"a copy", func() error { _, err := s.Copy(t.Context(), from, "x/y", volume.Condition{}); return err }, "POST /storage/v1/b/bkt/o/a%2F..%2Fb%3Fc%23d%252F%20%C3%A9/rewriteTo/b/bkt/o/x%2Fy?fields=done%2CrewriteToken%2Cresource%28name%2Csize%2Cupdated%2Cgeneration%2Ccrc32c%29&ifSourceGenerationMatch=7"},
		{"a deletion", func() error { return s.Delete(t.Context(), "a", "7") }, "DELETE /storage/v1/b/bkt/o/a?ifGenerationMatch=7"},
	} {
		seen = nil
		if err := tc.try(); err != nil || len(seen) != 1 || !strings.Contains(seen[0], tc.want) {
			t.Errorf("%s: got %q, %v, want %q", tc.name, seen, err, tc.want)
		}
	}
	seen = nil
	if err := s.Delete(t.Context(), "a", "sha256:00"); !errors.Is(err, volume.ErrChanged) || len(seen) > 0 {
		t.Errorf("with the tag of another kind of file: got %v after %q, want no request", err, seen)
	}
}
