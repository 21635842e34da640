package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// folder takes what is no text. Nothing in it is written over.
type folder struct {
	path string
	stem string // of files without a name
}

// blob is content that is no text, as a block has it.
type blob struct {
	kind, mime, uri string
	data            string // base64
}

// extensions of what tools return most; the rest is .bin. The tables of the
// system are not asked, so that a file has the same name everywhere.
var extensions = map[string]string{
	"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "image/svg+xml": ".svg",
	"audio/wav": ".wav", "audio/x-wav": ".wav", "audio/mpeg": ".mp3", "audio/ogg": ".ogg", "audio/flac": ".flac",
	"application/pdf": ".pdf", "application/json": ".json", "application/zip": ".zip", "application/gzip": ".gz",
	"text/plain": ".txt", "text/html": ".html", "text/markdown": ".md", "text/csv": ".csv", "video/mp4": ".mp4",
}

// binary is the line about a blob, which is saved if there is a folder.
func (a *answer) binary(b blob) (string, error) {
	data, err := base64.StdEncoding.DecodeString(b.data)
	if err != nil {
		return fmt.Sprintf("[%s%s: not valid Base64]", b.kind, withComma(b.mime)), nil
	}
	if a.save != nil {
		return a.file(b, data)
	}
	about := b.kind + withComma(b.mime) + withComma(b.uri)
	return fmt.Sprintf("[%s, %s: save it with --save DIR]", about, size(len(data))), nil
}

func (a *answer) file(b blob, data []byte) (string, error) {
	name, err := a.save.put(b, data)
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("[saved %s%s, %s]", name, withComma(b.mime), size(len(data)))
	a.saved = append(a.saved, line)
	return line, nil
}

// put writes a file under a name that is free, and returns it.
func (f *folder) put(b blob, data []byte) (string, error) {
	if err := os.MkdirAll(f.path, 0o755); err != nil {
		return "", fmt.Errorf("save: %w", err)
	}
	stem, extension := f.name(b)
	for n := 1; ; n++ {
		name := filepath.Join(f.path, stem+extension)
		if n > 1 {
			name = filepath.Join(f.path, fmt.Sprintf("%s-%d%s", stem, n, extension))
		}
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("save: %w", err)
		}
		_, err = file.Write(data)
		return name, errors.Join(err, file.Close())
	}
}

// name is that of the resource if it has one; otherwise the tool's. What a
// server writes into a URI cannot lead out of the folder.
func (f *folder) name(b blob) (stem, extension string) {
	stem = f.stem
	if u, err := url.Parse(b.uri); err == nil {
		last := path.Base(u.Path)
		if u.Opaque != "" {
			last = path.Base(u.Opaque)
		}
		if clean := fileName(last); strings.Trim(clean, "._") != "" {
			stem = clean
		}
	}
	if extension = path.Ext(stem); extension != "" && len(extension) <= 6 {
		return strings.TrimSuffix(stem, extension), extension
	}
	mime, _, _ := strings.Cut(b.mime, ";")
	if known := extensions[strings.ToLower(strings.TrimSpace(mime))]; known != "" {
		return stem, known
	}
	return stem, ".bin"
}

// fileName keeps letters, digits and a few signs of a name, at most 100 of them.
func fileName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '_'
	}, name)
	return strings.TrimLeft(name[:min(len(name), 100)], ".")
}

// size is a number of bytes for people.
func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
