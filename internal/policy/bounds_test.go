package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/policy"
)

// T11: what callers make up is not kept.
func TestNamesThatCallersMakeUpFillNoMemory(t *testing.T) {
	p := open(t, conf(""), policy.Deps{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	long := strings.Repeat("x", 64<<10)
	for i := range 40_000 {
		uri := fmt.Sprint("file:///", i)
		if i%40 == 0 {
			uri += long
		}
		q := policy.Question{Principal: somebody(fmt.Sprint("p", i), "user"), Action: "read_resource",
			Resource: policy.Resource{Kind: "Resource", Server: "files", Name: uri}}
		if d := p.Decide(t.Context(), q); !d.Allow {
			t.Fatalf("got %+v, want it allowed", d)
		}
	}
	after := heap()
	if grown := int64(after) - int64(before); grown > 48<<20 {
		t.Errorf("40,000 principals and URIs, of which 1,000 are long, took %d MiB, want at most 48", grown>>20)
	}
	runtime.KeepAlive(p)
}
