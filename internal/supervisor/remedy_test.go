package supervisor_test

import (
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

func TestWhatAClientSaidLeadsToWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name, said string
		hosts      []string
		want       string
	}{
		{"npm, of a package that is not there", "npm error code E404\nnpm error 404 Not Found - GET http://registry.example/x", []string{"registry.example"},
			"check its name and version, and that registry.example has it"},
		{"npm, of a version that is not there", "npm error code ETARGET\nnpm error notarget No matching version found for x@9", []string{"registry.example"}, "check its name and version"},
		{"bun, of a package that is not there", "error: GET http://registry.example/x - 404", []string{"registry.example"}, "check its name"},
		{"bun, of a version that is not there", `error: No version matching "9" found for specifier "x" (but package exists)`, nil, "check its name"},
		{"uv, of a package that is not there", "cause: Because x was not found in the package registry and you require x, we can conclude", nil, "check its name and version, and that where it comes from has it"},
		{"pip, of a package that is not there", "ERROR: No matching distribution found for x", []string{"index.example"}, "index.example has it; if it is there as source only, sandbox.fetch.scripts"},
		{"npm, of a registry that is down", "npm error code E502\nnpm error 502 Bad Gateway - GET http://registry.example/x", []string{"registry.example"},
			"check that registry.example can be reached from here"},
		{"bun, of a registry that is down", "error: GET http://registry.example/x - 502", []string{"registry.example"}, "can be reached from here"},
		{"pip, of an index that is down", "WARNING: Retrying after connection broken by 'ProxyError('Tunnel connection failed: 502 Bad Gateway')'", nil, "where it comes from can be reached"},
		{"uv, of source", "hint: Wheels are required for x because building from source is disabled via --no-build", nil, "sandbox.fetch.scripts: true allows"},
		{"npm, of a full disk", "npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device, write", nil, "make room on the disk of processes.package_dir"},
		{"a place that is closed to it", "npm error code E403\nnpm error 403 Forbidden - GET http://elsewhere.example/x", []string{"registry.example"},
			"it may only come from registry.example, unless sandbox.fetch.hosts says otherwise"},
		{"anything else", "what 14040 502040", nil, "every public address and from no private one, unless sandbox.fetch.hosts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := &supervisor.FetchError{Name: "s", Package: "x", Hosts: tt.hosts, Err: &supervisor.ExitError{Code: 1, Stderr: strings.Split(tt.said, "\n")}}
			if got := err.Remedy(); !strings.Contains(got, tt.want) {
				t.Errorf("remedy for %q: got %q, want %q in it", tt.said, got, tt.want)
			}
		})
	}
}
