package filesystem

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/text"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
)

type readInput struct {
	Path     string `json:"path"`
	Offset   int64  `json:"offset,omitempty" jsonschema:"bytes" min:"0"`
	Length   int64  `json:"length,omitempty" jsonschema:"bytes" min:"1"`
	Head     int    `json:"head,omitempty" jsonschema:"lines" min:"1"`
	Tail     int    `json:"tail,omitempty" jsonschema:"lines" min:"1"`
	Encoding string `json:"encoding,omitempty"`
	Cursor   string `json:"cursor,omitempty"`
}

type content struct {
	Text     string `json:"text"`
	Size     int64  `json:"size"`
	Offset   int64  `json:"offset"`
	Encoding string `json:"encoding,omitempty" jsonschema:"none for what is not text"`
	ETag     string `json:"etag,omitempty"`
	server.Page
}

// maxTagged is the largest file whose content is hashed when a part of it is read, in bytes.
const maxTagged = 4 << 20

func (f *files) read(ctx context.Context, c *server.Call, in readInput) (content, error) {
	if in.Tail > 0 && (in.Head > 0 || in.Offset > 0 || in.Length > 0) {
		return content{}, server.Errorf("give tail alone; head goes with offset and length", "tail does not go together with head, offset and length")
	}
	m, key, err := f.file(in.Path, false, false)
	if err != nil {
		return content{}, err
	}
	file, err := m.volume.Open(ctx, key)
	if err != nil {
		return content{}, told(err, in.Path)
	}
	defer func() { _ = file.Close() }()
	if in.Cursor != "" {
		var next readInput // of which nothing is taken from the arguments, which may be those of the first call
		if err := c.Resume(in.Cursor, &next); err != nil {
			return content{}, err
		}
		if next.Path != in.Path {
			return content{}, server.Errorf("give the path that the cursor is of, or leave out the cursor", "the cursor is of another file")
		}
		in = next
	}
	if size := file.Info().Size; in.Offset > size {
		return content{}, server.Errorf("give a smaller offset", "%.200q has %d bytes, and ends before offset %d", in.Path, size, in.Offset)
	}
	c.Untrusted("the file " + m.shown(key))
	begin, err := part(ctx, file, 0, f.firstPart(in))
	if err != nil {
		return content{}, told(err, in.Path)
	}
	head := begin[:min(len(begin), text.Sample)]
	out := content{Size: file.Info().Size, Offset: in.Offset}
	form, err := text.Detect(head, int64(len(head)) == out.Size)
	if in.Encoding != "" {
		form, err = text.Named(in.Encoding, head)
	}
	switch {
	case errors.Is(err, text.ErrBinary):
		return f.binary(ctx, c, in, file, head)
	case err != nil:
		return content{}, server.Errorf("use a name such as utf-8, utf-16le, windows-1252 or shift_jis", "%w", err)
	}
	if out.ETag, err = tagOf(ctx, file, begin); err != nil {
		return content{}, told(err, in.Path)
	}
	out.Encoding = form.Name
	err = f.text(ctx, c, in, reading{file, begin, form, &out})
	return out, told(err, in.Path)
}

// tagOf gives the tag of a file of which some has been read; none when the rest is too much to be read for it.
func tagOf(ctx context.Context, file volume.File, begin []byte) (string, error) {
	size := file.Info().Size
	if by, ok := file.(interface{ TagOf(content []byte) string }); ok && int64(len(begin)) == size {
		return by.TagOf(begin), nil
	}
	if size > maxTagged {
		return "", nil
	}
	return file.Tag(ctx)
}

// firstPart is how much of a file is read to see what it is: when the beginning is wanted, at once as much as can be told.
func (f *files) firstPart(in readInput) int64 {
	switch {
	case in.Offset > 0 || in.Tail > 0:
		return text.Sample
	case in.Length > 0:
		return max(text.Sample, min(in.Length, f.most)+maxMark)
	}
	return max(text.Sample, f.most+maxMark)
}

// maxMark is the longest byte order mark, in bytes.
const maxMark = 4

// part reads some bytes, most of the time those that are there already.
func (r reading) part(ctx context.Context, offset, length int64) ([]byte, error) {
	if end := min(offset+length, r.out.Size); end <= int64(len(r.begin)) && offset <= end {
		return r.begin[offset:end], nil
	}
	return part(ctx, r.file, offset, length)
}

// part reads some bytes, all of them unless the file ends before.
func part(ctx context.Context, f volume.File, offset, length int64) ([]byte, error) {
	length = min(length, f.Info().Size-offset)
	if length <= 0 {
		return nil, nil
	}
	body, err := f.Range(ctx, offset, length)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	data := make([]byte, length)
	n, err := io.ReadFull(body, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // it has become shorter
	}
	return data[:n], err
}

// A reading is a text on its way into an answer.
type reading struct {
	file  volume.File
	begin []byte // of the file
	form  text.Form
	out   *content
}

func (f *files) text(ctx context.Context, c *server.Call, in readInput, r reading) error {
	first := int64(r.form.BOM)
	if in.Offset > first {
		first = in.Offset - (in.Offset-int64(r.form.BOM))%int64(r.form.Unit())
	}
	most := f.most
	if in.Length > 0 {
		most = min(most, in.Length)
	}
	if in.Tail > 0 {
		first = max(first, r.out.Size-f.most)
		first += (first - int64(r.form.BOM)) % int64(r.form.Unit())
	}
	raw, err := r.part(ctx, first, most)
	if err != nil {
		return err
	}
	ended := first+int64(len(raw)) >= r.out.Size
	if r.form.Name == "utf-8" && first > int64(r.form.BOM) {
		for n := 0; n < 3 && len(raw) > 0 && raw[0]&0xc0 == 0x80; n++ { // the rest of a character
			raw, first = raw[1:], first+1
		}
	}
	decoded, used := r.form.View(raw, ended) // nobody writes to raw again
	whole := decoded
	switch {
	case in.Tail > 0:
		decoded = tail(decoded, in.Tail)
		if len(decoded) < len(whole) {
			first += int64(r.form.Bytes(raw, len(whole)-len(decoded)))
		} else if first > int64(r.form.BOM) {
			r.out.Truncated = true // there are more lines, before what one answer has room for
		}
	case in.Head > 0:
		decoded = head(decoded, in.Head)
	}
	return r.cut(c, in, raw[:used], window{whole, decoded, first, ended})
}

// A window is the part of a text that is wanted.
type window struct {
	whole, wanted string
	first         int64 // byte in the file where wanted begins
	ended         bool  // the file ends with whole
}

// cut puts as much of the text into the answer as there is room for, and says where to go on.
func (r reading) cut(c *server.Call, in readInput, raw []byte, w window) error {
	fits, all := c.Budget.Text(w.wanted)
	r.out.Text, r.out.Offset = fits, w.first
	c.Text(fits)
	short := in.Head > 0 && all && strings.Count(fits, "\n") < in.Head && !w.ended
	limited := in.Length > 0 && all && in.Head == 0 && in.Tail == 0
	if all && (w.ended || in.Tail > 0 || in.Head > 0 && !short || limited && int64(len(raw)) >= in.Length-4) {
		return nil
	}
	if fits == "" {
		return server.Errorf("ask for another part", "not one character fits into the budget")
	}
	skipped := len(w.whole) - len(w.wanted)
	if in.Tail == 0 {
		skipped = 0
	}
	begin := r.form.Bytes(raw, skipped)
	done := int64(r.form.Bytes(raw[begin:], len(fits)))
	next := readInput{Path: in.Path, Offset: w.first + done, Encoding: in.Encoding, Length: in.Length}
	if in.Length > 0 {
		next.Length = max(in.Length-done, 1)
	}
	if in.Head > 0 {
		next.Head = max(in.Head-strings.Count(fits, "\n"), 1)
	}
	r.out.Page = c.More(next)
	return nil
}

func head(s string, n int) string {
	at := 0
	for range n {
		i := strings.IndexByte(s[at:], '\n')
		if i < 0 {
			return s
		}
		at += i + 1
	}
	return s[:at]
}

func tail(s string, n int) string {
	at := len(strings.TrimSuffix(s, "\n"))
	for range n {
		i := strings.LastIndexByte(s[:at], '\n')
		if i < 0 {
			return s
		}
		at = i
	}
	return s[at+1:]
}

// binary answers with an image or sound if that is small enough, with bytes if some are asked for, and else with a link.
func (f *files) binary(ctx context.Context, c *server.Call, in readInput, file volume.File, head []byte) (content, error) {
	info := file.Info()
	kind := kindOf(info.Key, head)
	out := content{Size: info.Size, Offset: in.Offset}
	length := info.Size - in.Offset
	if in.Length > 0 {
		length = min(length, in.Length)
	}
	uri := address(in.Path)
	if media := strings.HasPrefix(kind, "image/") || strings.HasPrefix(kind, "audio/"); length*4/3 > f.most || in.Length == 0 && !media {
		c.Result.Content = append(c.Result.Content, &sdk.ResourceLink{URI: uri, Name: path.Base(info.Key), MIMEType: kind, Size: &info.Size})
		c.Text("not text; give offset and length for some of its bytes, or read the resource")
		return out, nil
	}
	data, err := part(ctx, file, in.Offset, max(length, 0))
	if err != nil {
		return content{}, told(err, in.Path)
	}
	c.Text(kind)
	switch {
	case in.Offset > 0 || length < info.Size:
		c.Result.Content = append(c.Result.Content, &sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: uri, MIMEType: kind, Blob: data}})
	case strings.HasPrefix(kind, "image/"):
		c.Result.Content = append(c.Result.Content, &sdk.ImageContent{Data: data, MIMEType: kind})
	case strings.HasPrefix(kind, "audio/"):
		c.Result.Content = append(c.Result.Content, &sdk.AudioContent{Data: data, MIMEType: kind})
	default:
		c.Result.Content = append(c.Result.Content, &sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: uri, MIMEType: kind, Blob: data}})
	}
	return out, nil
}

// address is the URI of a path.
func address(name string) string {
	return (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(name, "/")}).String()
}

// kindOf tells the media type by the name, or by how the content begins.
func kindOf(key string, head []byte) string {
	if kind := mime.TypeByExtension(path.Ext(key)); kind != "" {
		return kind
	}
	return http.DetectContentType(head)
}

// plain gives all of a file as text, if it is.
func plain(data []byte) (string, bool) {
	sample := data[:min(len(data), text.Sample)]
	form, err := text.Detect(sample, len(sample) == len(data))
	if err != nil {
		return "", false
	}
	s, _ := form.Decode(data[form.BOM:], true)
	return s, true
}
