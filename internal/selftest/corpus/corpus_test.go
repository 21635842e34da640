package corpus_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The Go modules that the files are taken from. They are no dependencies: only the data is read.
const (
	jsonModule       = "github.com/go-faster/jx@v1.1.0" // has the files of JSONTestSuite with their licence
	wycheproofModule = "github.com/c2sp/wycheproof@v0.0.0-20260902155932-3fa63dd0344a"
)

var (
	write     = flag.Bool("write", false, "take the files from their Go modules anew")
	published = flag.Bool("published", false, "compare the files with their Go modules, which are fetched")
)

// moduleDir fetches a module. Only who asks for it waits for a network.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	if !*published && !*write {
		t.Skip("neither -published nor -write given")
	}
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir() // outside of our module, whose go.sum does not know it
	out, err := cmd.Output()
	var found struct{ Dir string }
	if json.Unmarshal(out, &found) != nil || found.Dir == "" {
		t.Fatalf("fetch %s: %v", module, err)
	}
	return found.Dir
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// keep writes an embedded file when that was asked for.
func keep(t *testing.T, name string, text []byte) {
	t.Helper()
	if !*write {
		return
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheTextsOfJSONTestSuiteAreThePublishedOnes(t *testing.T) {
	dir := filepath.Join(moduleDir(t, jsonModule), "testdata", "test_parsing")
	files, err := filepath.Glob(filepath.Join(dir, "[yni]_*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want []corpus.Vector
	for _, file := range files {
		want = append(want, corpus.Vector{Name: filepath.Base(file), Data: read(t, file)})
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, "jsontestsuite.json.gz", text)
	got, err := corpus.JSONTestSuite()
	if *write {
		return // what is embedded is what was there when this was compiled
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the embedded texts differ from those of %s; run go test -args -write (-published +embedded):\n%s", jsonModule, diff)
	}
}

func TestTheVectorsOfWycheproofAreThePublishedOnes(t *testing.T) {
	dir := filepath.Join(moduleDir(t, wycheproofModule), "testvectors_v1")
	for _, c := range []struct {
		original, embedded string
		open               func() ([]byte, error)
	}{
		{"json_web_signature_test.json", "wycheproof_jws.json.gz", corpus.WycheproofSignatures},
		{"xchacha20_poly1305_test.json", "wycheproof_xchacha20.json.gz", corpus.WycheproofXChaCha20},
	} {
		want := read(t, dir, c.original)
		keep(t, c.embedded, want)
		got, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) && !*write {
			t.Errorf("%s differs from %s of %s; run go test -args -write", c.embedded, c.original, wycheproofModule)
		}
	}
}

// What is embedded is small: it lies in every copy of the program.
func TestTheEmbeddedFilesAreSmall(t *testing.T) {
	files, err := filepath.Glob("*.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("find the embedded files: got %v, error %v", files, err)
	}
	size := 0
	for _, file := range files {
		size += len(read(t, file))
	}
	if size > 500<<10 {
		t.Errorf("embedded files: got %d bytes, want at most 500 KiB", size)
	}
}

func TestTheEmbeddedFilesHoldWhatTheySay(t *testing.T) {
	vectors, err := corpus.JSONTestSuite()
	if err != nil {
		t.Fatal(err)
	}
	count := map[byte]int{}
	for _, v := range vectors {
		count[v.Name[0]]++
	}
	if diff := cmp.Diff(map[byte]int{'y': 95, 'n': 188, 'i': 35}, count); diff != "" {
		t.Errorf("texts of JSONTestSuite by first letter (-want +got):\n%s", diff)
	}
	for name, open := range map[string]func() ([]byte, error){"signatures": corpus.WycheproofSignatures, "XChaCha20-Poly1305": corpus.WycheproofXChaCha20} {
		var file struct{ NumberOfTests int }
		text, err := open()
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		if err != nil || file.NumberOfTests < 300 {
			t.Errorf("vectors of Wycheproof for %s: got %d and error %v, want at least 300", name, file.NumberOfTests, err)
		}
	}
}
