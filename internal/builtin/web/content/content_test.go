package content_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func cut(t *testing.T, text string) *content.Document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return content.Cut(root, content.Facts{Title: "A title"})
}

func TestBlocksAreRunsOfInlineText(t *testing.T) {
	d := cut(t, `<script>no()</script><p>One <b>bold</b> <a href=x>link</a>.</p><div>two<div>three</div>four</div><a href=x><h3>five</h3></a><pre>six<div>seven</div></pre>`)
	var got []string
	for _, b := range d.Blocks {
		got = append(got, b.Text)
	}
	if want := "One bold link.|two|three|four|five|sixseven"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "|"), want)
	}
}

func TestFeaturesAreTheSameEachTime(t *testing.T) {
	file, err := os.ReadFile("../page/model.bin")
	if err != nil {
		t.Fatal(err)
	}
	m, err := content.ReadModel(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	d := cut(t, `<nav><a href=x>Home</a></nav><article><h1>A title</h1><p>A paragraph, with commas, and with enough words to look like prose.</p></article>`)
	first, second := m.Judge(d), m.Judge(d)
	for i := range first {
		if first[i] != second[i] {
			t.Errorf("block %q: got %v and then %v", d.Blocks[i].Text, first[i], second[i])
		}
		if first[i] < 0 || first[i] > 1 {
			t.Errorf("block %q: got %v, want a probability", d.Blocks[i].Text, first[i])
		}
	}
	var again bytes.Buffer
	if err := m.Write(&again); err != nil || !bytes.Equal(again.Bytes(), file) {
		t.Errorf("the model is written differently than it was read: %v", err)
	}
	for i := range m.Second.Trees {
		for _, f := range m.Second.Trees[i].Feature {
			if n := len(d.Context(d.Features(), first)[0]); int(f) >= n {
				t.Fatalf("the model asks for feature %d of %d: train it anew", f, n)
			}
		}
	}
}

func TestChooseTakesWhatMakesTheExpectedF1Largest(t *testing.T) {
	d := cut(t, "<p>one two three four</p><p>five six seven eight</p><p>nine</p>")
	got := content.Choose(d, []float32{0.9, 0.1, 0.6})
	if !got[0] || got[1] || !got[2] {
		t.Errorf("got %v, want the first and the last", got)
	}
	if got := content.Choose(cut(t, ""), nil); len(got) != 0 {
		t.Errorf("an empty page: got %v", got)
	}
}
