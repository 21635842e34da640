package jsonrpc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// samples are messages like those that a gateway carries, by size and by what is hard about them.
func samples() map[string][]byte {
	request := `{"jsonrpc":"2.0","id":"3f2b9c1e-77aa-4b1c-9d1a-0c5e2f6a8b90","method":"tools/call","params":{"name":"files__search",` +
		`"arguments":{"path":"/data/projects","pattern":"*.go","limit":50,"recursive":true},` +
		`"_meta":{"progressToken":7,"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"client","version":"1.0.0"}}}}`
	result := func(text string) []byte {
		return []byte(`{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"` + text +
			`"}],"isError":false,"resultType":"complete"}}`)
	}
	const mib = 1 << 20
	rows := strings.Repeat(`{\"id\":12,\"name\":\"row\",\"value\":3.25},\n`, mib/43)
	return map[string][]byte{
		"small request":             []byte(request),
		"small result":              result("the sum of 2 and 40 is 42"),
		"10 KB result":              result(strings.Repeat("lorem ipsum dolor ", 10240/18)),
		"1 MiB result":              result(strings.Repeat("lorem ipsum dolor ", mib/18)),
		"1 MiB result of JSON text": result(rows),
		"1 MiB result in Greek":     result(strings.Repeat("αβγδε ζηθικ λμνξο ", mib/33)),
		"1 MiB result in Chinese":   result(strings.Repeat("敏捷的棕色狐狸跳过了懒狗", mib/36)),
		"1 MiB result with some é":  result(strings.Repeat("lorem ipsum dolor sit amet é ", mib/30)),
		"1 MiB of small objects":    numbers(mib),
		"200 KB tools list":         toolsList(200 << 10),
		"object of 40000 names":     wide(40000),
	}
}

func toolsList(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":7,"result":{"tools":[`)
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"server__tool_%d","title":"Tool number %d","description":"Searches the files below a directory `+
			`for a pattern and returns the paths of those that match, with \"excluded\" ones left out.","inputSchema":{"type":"object",`+
			`"properties":{"path":{"type":"string","description":"Where to start"},"pattern":{"type":"string"},`+
			`"limit":{"type":"integer","minimum":1,"maximum":1000,"default":50},"exclude":{"type":"array","items":{"type":"string"}}},`+
			`"required":["path","pattern"],"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#"},`+
			`"annotations":{"readOnlyHint":true,"openWorldHint":false}}`, i, i)
	}
	b.WriteString(`],"ttlMs":0,"cacheScope":"private"}}`)
	return []byte(b.String())
}

func numbers(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"rows":[`)
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"x":%d.5,"ok":true,"next":null}`, i, i*7)
	}
	b.WriteString(`]},"content":[]}}`)
	return []byte(b.String())
}

func wide(names int) []byte {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","arguments":{"n":0`)
	for i := range names {
		fmt.Fprintf(&b, `,"member_%d":%d`, i, i)
	}
	b.WriteString(`}}}`)
	return []byte(b.String())
}

// The standard library's cost of the same message: the envelope into a struct of raw messages. It checks less.
type envelope struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
}

// What a gateway does to each call after Parse: another id and name, the rest verbatim.
func BenchmarkForward(b *testing.B) {
	for name, data := range samples() {
		m, err := jsonrpc.Parse(data, jsonrpc.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				m.ID = jsonrpc.NumberID(1 << 40)
				out := m
				out.Params = m.Params.With(jsonrpc.Edit{Name: "name", Value: []byte(`"search"`)})
				dst = out.Append(dst[:0])
			}
		})
	}
}

// What a catalog does with a list: the members of every tool.
func BenchmarkSplit(b *testing.B) {
	data := samples()["200 KB tools list"]
	m, err := jsonrpc.Parse(data, jsonrpc.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for tool := range jsonrpc.Elements(m.Result.Get("tools")) {
			if o, ok := jsonrpc.Split(tool); !ok || o.Get("name") == nil {
				b.Fatalf("tool without name: %s", tool)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, data := range samples() {
		b.Run(name+"/this package", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := jsonrpc.Parse(data, jsonrpc.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/encoding json", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				var e envelope
				if err := json.Unmarshal(data, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
