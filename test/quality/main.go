// Command quality measures how well the built-in server web finds the content of pages, on two public benchmarks, and
// trains the model that it finds it with. It does not know how pages are fetched.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
	"github.com/dragoman-mcp/dragoman/internal/builtin/web/page"
)

// What the figures must reach (issue 4).
const (
	wantWCXB        = 0.85
	wantScrapinghub = 0.96
)

func main() {
	data := flag.String("data", "", "directory with the repositories wcxb and scrapinghub; see docs/builtin/web.md")
	model := flag.String("train", "", "train, and write the model to this file, instead of measuring")
	cross := flag.Int("cross", 0, "measure the development set with so many models, each of which has not seen the pages that it is measured on")
	flag.Parse()
	if err := run(*data, *model, *cross); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// size is that of the model: more trees gained nothing on the test set.
func size() trees { return trees{first: 120, second: 250} }

// folds is how often the first round is trained for the second to learn from.
const folds = 3

func run(data, model string, cross int) error {
	dev, err := readWCXB(filepath.Join(data, "wcxb"), "dev")
	if err != nil {
		return fmt.Errorf("%w\nset DATA to a directory with the repositories Murrough-Foley/web-content-extraction-benchmark as wcxb and "+
			"scrapinghub/article-extraction-benchmark as scrapinghub", err)
	}
	switch {
	case model != "":
		return train(dev, model)
	case cross > 1:
		return crossValidate(dev, cross)
	}
	return measure(data, dev)
}

func train(dev []sample, file string) error {
	lessons, err := prepare(dev)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := learn(lessons, size(), folds).Write(&out); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// crossValidate measures pages with models that have not seen them.
func crossValidate(dev []sample, n int) error {
	lessons, err := prepare(dev)
	if err != nil {
		return err
	}
	var sum, pages float64
	for fold := range n {
		in, out := split(lessons, fold, n)
		m := learn(out, size(), folds)
		for _, l := range in {
			sum += wordF1(textOf(l.doc, content.Choose(l.doc, m.Judge(l.doc))), l.sample.text)
			pages++
		}
		fmt.Fprintf(os.Stderr, "%d of %d models: F1 %.4f of %.0f pages\n", fold+1, n, sum/pages, pages)
	}
	fmt.Printf("WCXB development set, by models that have not seen the page: F1 %.4f (%.0f pages)\n", sum/pages, pages)
	return nil
}

func textOf(d *content.Document, taken []bool) string {
	var text strings.Builder
	for i, b := range d.Blocks {
		if taken[i] {
			text.WriteString(b.Text + "\n")
		}
	}
	return text.String()
}

// measure prints the figures of the model that the server has, and fails when they are below what they must be.
func measure(data string, dev []sample) error {
	test, err := readWCXB(filepath.Join(data, "wcxb"), "test")
	if err != nil {
		return err
	}
	news, err := readScrapinghub(filepath.Join(data, "scrapinghub"))
	if err != nil {
		return err
	}
	seen, err := report("WCXB development set (the model was trained on it)", dev)
	if err != nil {
		return err
	}
	if _, err := report("WCXB test set (not seen in training)", test); err != nil {
		return err
	}
	texts, _, err := extract(news)
	if err != nil {
		return err
	}
	var a articles
	for i := range news {
		a.add(texts[i], news[i].text)
	}
	f1, precision, recall := a.f1()
	fmt.Printf("scrapinghub article-extraction-benchmark: F1 %.4f, precision %.4f, recall %.4f (%d pages)\n", f1, precision, recall, len(news))
	if seen < wantWCXB || f1 < wantScrapinghub {
		return fmt.Errorf("want at least %.2f on the development set of WCXB and %.2f on scrapinghub's", wantWCXB, wantScrapinghub)
	}
	return nil
}

// report prints the mean F1 of pages, overall and by kind.
func report(name string, samples []sample) (float64, error) {
	texts, times, err := extract(samples)
	if err != nil {
		return 0, err
	}
	sum, pages := map[string]float64{}, map[string]float64{}
	for i, s := range samples {
		f := wordF1(texts[i], s.text)
		for _, kind := range []string{"", s.kind} {
			sum[kind] += f
			pages[kind]++
		}
	}
	fmt.Printf("%s: F1 %.4f (%.0f pages; median %d ms, p99 %d ms a page)\n", name, sum[""]/pages[""], pages[""],
		times[len(times)/2].Milliseconds(), times[len(times)*99/100].Milliseconds())
	kinds := make([]string, 0, len(sum))
	for kind := range sum {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds[1:] {
		fmt.Printf("  %-14s %.4f (%.0f)\n", kind, sum[kind]/pages[kind], pages[kind])
	}
	return sum[""] / pages[""], nil
}

// extract finds the content of pages as the server does, and how long each took, sorted.
func extract(samples []sample) (texts []string, times []time.Duration, err error) {
	reader := &page.Reader{}
	texts, times = make([]string, len(samples)), make([]time.Duration, len(samples))
	faults := make([]error, len(samples))
	parallel(len(samples), func(i int) {
		start := time.Now()
		p, err := reader.Read(context.Background(), samples[i].input())
		if err != nil {
			faults[i] = fmt.Errorf("%s: %w", samples[i].id, err)
			return
		}
		texts[i], times[i] = p.Text(), time.Since(start)
	})
	for _, err := range faults {
		if err != nil {
			return nil, nil, err
		}
	}
	slices.Sort(times)
	return texts, times, nil
}
