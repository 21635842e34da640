package plaintext_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/plaintext"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// What a definition costs when its list is fetched, beside reading it at all,
// which has to be done anyway.
func BenchmarkDefinition(b *testing.B) {
	ascii := `{"name":"read","description":"` + strings.Repeat(`Reads a \"file\".\n`, 60) + `","inputSchema":{"type":"object"}}`
	for name, text := range map[string]string{
		"ASCII":     ascii,
		"Japanese":  strings.ReplaceAll(ascii, "Reads a", "ファイルを読み取ります"),
		"with tags": strings.Replace(ascii, "Reads", "Reads\U000e0041\U000e0042", 1),
	} {
		if !json.Valid([]byte(text)) {
			b.Fatal("the definition is no JSON")
		}
		b.Run(name+", read", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := jsonrpc.ParseObject([]byte(text), jsonrpc.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+", cleaned", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				plaintext.JSON([]byte(text), 64<<10)
			}
		})
	}
}
