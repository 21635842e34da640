package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/clients"
)

// pages are those of the documentation that people write.
var pages = []string{"README", "quickstart", "clients", "servers", "views", "operations", "errors", "migrate",
	"access", "audit", "egress", "policies", "sandbox", "secrets", "state", "upstream-auth"}

// block is a fenced block of a page.
type block struct{ language, text string }

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

func blocks(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page+".md"))
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	for _, m := range fence.FindAllSubmatch(text, -1) {
		out = append(out, block{string(m[1]), string(m[2])})
	}
	return out
}

// TestExamplesOfConfigurationAreGood reads every YAML block as a configuration, and
// every block about a client as that client's file.
func TestExamplesOfConfigurationAreGood(t *testing.T) {
	anything := func(name string) (string, bool) {
		if name == "REDIS_URL" {
			return "redis://127.0.0.1:6379/0", true
		}
		return name + "-0123456789abcdef0123456789abcdef", !strings.HasPrefix(name, "DRAGOMAN_") && !strings.HasPrefix(name, "MCP_") && !strings.HasPrefix(name, "OTEL_")
	}
	envFile := regexp.MustCompile(`(?m)^ *env_file: .*$`) // a file that is not there
	for _, page := range pages {
		for _, b := range blocks(t, page) {
			switch {
			case page == "clients" && b.language != "sh":
				readAsClient(t, b)
			case b.language == "yaml":
				text := strings.NewReplacer("${file:", "${env:file_", "/run/secrets/", "").Replace(envFile.ReplaceAllString(b.text, ""))
				if strings.HasPrefix(text, "    ") { // more of a server
					text = "servers:\n  one:\n    url: https://one.example.org/mcp\n" + text
				}
				if _, err := config.Parse(page, []byte(text), anything); err != nil {
					t.Errorf("docs/%s.md: %v in\n%s", page, err, b.text)
				}
			}
		}
	}
}

func readAsClient(t *testing.T, b block) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file."+b.language)
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := clients.Open(file, clients.Locations{Home: t.TempDir()})
	if err != nil {
		t.Errorf("docs/clients.md: %v in\n%s", err, b.text)
		return
	}
	servers, _, err := c.Read()
	if err != nil || len(servers) != 1 {
		t.Errorf("docs/clients.md: %d servers, %v in\n%s", len(servers), err, b.text)
		return
	}
	if s := servers[0].Config; !strings.HasSuffix(s.URL, "/mcp") && !strings.Contains(strings.Join(s.Argv(), " "), "dragoman stdio -c") {
		t.Errorf("docs/clients.md: %q, %q in\n%s", s.URL, s.Argv(), b.text)
	}
}

// TestExamplesDoWhatTheySay runs every line after a $ in a console block, in order
// and in a directory for the page, and compares what it prints. In what is expected
// … stands for anything; a YAML block that begins with "# NAME" is a file.
func TestExamplesDoWhatTheySay(t *testing.T) {
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the examples use %s: %v", tool, err)
		}
	}
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			r := newReader(t)
			for _, b := range blocks(t, page) {
				r.follow(b)
			}
		})
	}
}

// reader does what a reader of a page does.
type reader struct {
	t       *testing.T
	dir     string
	address string // in place of 127.0.0.1:8000
}

func newReader(t *testing.T) *reader {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &reader{t: t, dir: t.TempDir(), address: l.Addr().String()}
}

// spaces are padding, which depends on the length of the address.
var spaces = regexp.MustCompile(` {2,}`)

func (r *reader) follow(b block) {
	r.t.Helper()
	if name, text, ok := strings.Cut(strings.TrimPrefix(b.text, "# "), "\n"); ok && b.language == "yaml" && strings.HasPrefix(b.text, "# ") {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	if b.language != "console" {
		return
	}
	for _, part := range strings.Split("\n"+b.text, "\n$ ")[1:] {
		command, want, _ := strings.Cut(part, "\n")
		got, want := spaces.ReplaceAllString(r.run(command), "  "), spaces.ReplaceAllString(want, "  ")
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(want, "\n")), "…", "(?s:.*)")
		if !regexp.MustCompile("^" + pattern + "$").MatchString(strings.TrimRight(got, "\n")) {
			r.t.Errorf("$ %s\ngot\n%s\nwant\n%s", command, got, want)
		}
	}
}

// run runs one line and returns what it prints, on both outputs. A line that ends
// in & is a gateway: it prints until it answers, and ends with the page.
func (r *reader) run(command string) string {
	r.t.Helper()
	line, background := strings.CutSuffix(strings.ReplaceAll(command, "127.0.0.1:8000", r.address), " &")
	if !strings.Contains(line, ";") {
		line = "exec " + line
	}
	out, err := os.CreateTemp(r.dir, "out")
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, out, out
	cmd.Env = append(os.Environ(), "DRAGOMAN_LISTEN="+r.address, "HOME="+r.dir, "DRAGOMAN_LOG_LEVEL=error", "COLUMNS=", "GORACE="+noPause)
	if err := cmd.Start(); err != nil {
		r.t.Fatalf("$ %s: %v", command, err)
	}
	if background {
		r.t.Cleanup(func() {
			_ = cmd.Process.Signal(os.Interrupt)
			_ = cmd.Wait() // how it ends is for other tests
		})
		r.awaitGateway()
	} else {
		_ = cmd.Wait() // many examples show a failure
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), r.address, "127.0.0.1:8000")
}

func (r *reader) awaitGateway() {
	r.t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); <-tick.C {
		if resp, err := http.Get("http://" + r.address + "/health"); err == nil {
			_ = resp.Body.Close()
			return
		}
	}
	r.t.Fatal("the gateway did not answer within a minute")
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestLinksLeadSomewhere looks for the files that pages link to.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range append(pages, "cli") {
		text, err := os.ReadFile(filepath.Join("../../docs", page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../../docs", string(m[1]))); err != nil {
				t.Errorf("docs/%s.md links to %s: %v", page, m[1], err)
			}
		}
	}
}
