package telemetry_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"go.yaml.in/yaml/v3"
)

// ruleFile is what this test reads of a file of recording rules.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct{ Record, Expr string }
	}
}

func TestRecordingRulesGiveEachServerItsNamesFromMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../deploy/monitoring/recording-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file ruleFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	// Every server of the rules has answered once, so that its metrics are there.
	var status []telemetry.ServerStatus
	tel, _, _ := start(t, func(o *telemetry.Options) { o.Servers = func() []telemetry.ServerStatus { return status } })
	for _, g := range file.Groups {
		name := strings.TrimPrefix(g.Name, "mcp_")
		status = append(status, telemetry.ServerStatus{Name: name, Up: true})
		leg := telemetry.Leg{Side: telemetry.Outgoing, Transport: telemetry.TCP, Server: name}
		_, _ = tel.Observe(answering(`{}`), leg).Handle(t.Context(), call("x"))
	}
	there := make(map[string]bool) // metric{server="name"}
	server := regexp.MustCompile(`server="([^"]*)"`)
	for sample := range scrape(t, tel) {
		metric, labels, _ := strings.Cut(sample, "{")
		if m := server.FindStringSubmatch(labels); m != nil {
			there[metric+" "+m[1]] = true
		}
	}
	expr := regexp.MustCompile(`^(?:sum|max) by \(job, instance(?:, le)?\) \((\w+)\{server="(\w+)"(?:, mcp_method_name!="subscriptions/listen")?\}\)$`)
	recorded := make(map[string]bool)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			m := expr.FindStringSubmatch(r.Expr)
			if m == nil || "mcp_"+m[2] != g.Name || !there[m[1]+" "+m[2]] {
				t.Errorf("%s: expression is not of a metric that exists: %s", r.Record, r.Expr)
			}
			recorded[r.Record] = true
		}
	}
	for _, name := range []string{"orchestrator", "memory", "tools", "weaviate_direct"} {
		for _, suffix := range []string{
			"requests_total", "request_duration_seconds_bucket", "request_duration_seconds_sum", "request_duration_seconds_count",
			"active_connections", "error_rate", "memory_usage_mb",
		} {
			if want := "mcp_" + name + "_" + suffix; !recorded[want] {
				t.Errorf("no rule records %s", want)
			}
		}
	}
}
