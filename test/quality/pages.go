package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sort"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
	"github.com/dragoman-mcp/dragoman/internal/builtin/web/page"
)

// sample is one page of a benchmark with what people have marked as its content.
type sample struct {
	id, kind, url, text string
	body                []byte
}

// readWCXB reads one split of Murrough-Foley/web-content-extraction-benchmark.
func readWCXB(dir, split string) ([]sample, error) {
	files, err := filepath.Glob(filepath.Join(dir, split, "ground-truth", "*.json"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s has no split %s: %w", dir, split, err)
	}
	sort.Strings(files)
	var samples []sample
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var truth struct {
			URL      string
			Internal struct {
				Type struct{ Primary string } `json:"page_type"`
			} `json:"_internal"`
			Truth struct {
				Text string `json:"main_content"`
			} `json:"ground_truth"`
		}
		if err := json.Unmarshal(text, &truth); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		id := filepath.Base(file[:len(file)-len(".json")])
		body, err := gunzip(filepath.Join(dir, split, "html", id+".html.gz"))
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{id: id, kind: truth.Internal.Type.Primary, url: truth.URL, text: truth.Truth.Text, body: body})
	}
	return samples, nil
}

// readScrapinghub reads scrapinghub/article-extraction-benchmark.
func readScrapinghub(dir string) ([]sample, error) {
	text, err := os.ReadFile(filepath.Join(dir, "ground-truth.json"))
	if err != nil {
		return nil, err
	}
	var truth map[string]struct {
		Text string `json:"articleBody"`
		URL  string
	}
	if err := json.Unmarshal(text, &truth); err != nil {
		return nil, err
	}
	var samples []sample
	for id, t := range truth {
		body, err := gunzip(filepath.Join(dir, "html", id+".html.gz"))
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{id: id, kind: "article", url: t.URL, text: t.Text, body: body})
	}
	sort.Slice(samples, func(i, j int) bool { return samples[i].id < samples[j].id })
	return samples, nil
}

func gunzip(file string) ([]byte, error) {
	packed, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	return io.ReadAll(r)
}

// input is the page as the server would get it.
func (s *sample) input() page.Input {
	u, err := url.Parse(s.url)
	if err != nil {
		u = nil
	}
	return page.Input{Body: s.body, URL: u}
}

// cut cuts a page into blocks as the server does.
func (s *sample) cut() (*content.Document, error) {
	p, err := new(page.Reader).Parse(s.input())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.id, err)
	}
	return p.Document(), nil
}
