package telemetry_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/mcp"
	"go.yaml.in/yaml/v3"
)

func TestAlertsAndDashboardsAskForMetricsAndLabelsThatExist(t *testing.T) {
	tel, _, _ := start(t, func(o *telemetry.Options) {
		o.Servers = func() []telemetry.ServerStatus {
			return []telemetry.ServerStatus{{Name: "a", Breaker: "open", Tools: map[string]int{"shown": 1}}}
		}
	})
	for _, leg := range []telemetry.Leg{{Side: telemetry.Outgoing, Transport: telemetry.TCP, Server: "a"}, {Side: telemetry.Incoming, Transport: telemetry.TCP}} {
		_, _ = tel.Observe(answering(`{}`), leg).Handle(t.Context(), call("x"))
		defer tel.SessionOpened(leg, mcp.Revision20260728)()
	}
	defer tel.StreamOpened("sse")()
	tel.Endpoint("/mcp", nil)

	label := regexp.MustCompile(`(\w+)=`)
	there := map[string]map[string]bool{} // metric to its labels
	for sample := range scrape(t, tel) {
		metric, labels, _ := strings.Cut(sample, "{")
		there[metric] = map[string]bool{"instance": true, "job": true}
		for _, m := range label.FindAllStringSubmatch(labels, -1) {
			there[metric][m[1]] = true
		}
	}
	selector := regexp.MustCompile(`\b((?:mcp|dragoman|process|go|response_time|active)_\w+)(\{[^}]*\})?`)
	matcher := regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
	grouping := regexp.MustCompile(`\b(?:by|without) \([^)]*\)`)
	asked := 0
	for _, expr := range append(alerts(t), panels(t)...) {
		for _, m := range selector.FindAllStringSubmatch(grouping.ReplaceAllString(expr, ""), -1) {
			asked++
			labels, ok := there[m[1]]
			if !ok {
				t.Errorf("no metric is called %s: %s", m[1], expr)
				continue
			}
			for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
				if !labels[l[1]] {
					t.Errorf("%s has no label %s: %s", m[1], l[1], expr)
				}
			}
		}
	}
	if asked < 40 {
		t.Errorf("only %d metrics are asked for, want those of ten alerts and thirty panels: the files were not understood", asked)
	}
}

// alerts returns the expressions of the alert rules.
func alerts(t *testing.T) (exprs []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file ruleFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			exprs = append(exprs, r.Expr)
		}
	}
	return exprs
}

// panels returns the expressions of the dashboard.
func panels(t *testing.T) (exprs []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/monitoring/grafana/dashboards/dragoman.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	return exprs
}
