package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what the run found; its JSON is the form for machines.
type report struct {
	Date     string      `json:"date"`
	Go       string      `json:"go"`
	CPUs     int         `json:"cpus"`
	Gateway  string      `json:"gateway"`
	Route    string      `json:"route"`
	Rounds   int         `json:"rounds"`
	WindowMS float64     `json:"windowMs"`
	Seconds  float64     `json:"seconds"`
	Rows     []row       `json:"rows"`
	Leak     *leakReport `json:"leak,omitempty"`
	Faults   []string    `json:"faults"`
	Remarks  []string    `json:"remarks"`
	Samples  []sample    `json:"samples"`
}

// row is one metric of one scenario: medians over the rounds, and the ratio of gateway to bare, taken within each round.
type row struct {
	Scenario string   `json:"scenario"`
	About    string   `json:"about"`
	Metric   metric   `json:"metric"`
	Direct   *float64 `json:"direct,omitempty"`
	Bare     *float64 `json:"bare,omitempty"`
	Gateway  *float64 `json:"gateway,omitempty"`
	Ratio    *float64 `json:"ratio,omitempty"`
	Low      *float64 `json:"low,omitempty"`  // the smallest ratio of a round
	High     *float64 `json:"high,omitempty"` // the largest
	Goal     string   `json:"goal,omitempty"`
	Met      *bool    `json:"met,omitempty"`
}

func (b *bench) report(chosen []scenario) report {
	r := report{
		Date: time.Now().UTC().Format(time.RFC3339), Go: runtime.Version(), CPUs: runtime.NumCPU(), Gateway: "dragoman",
		Route: b.settings.route, Rounds: b.settings.rounds, WindowMS: b.settings.window.Seconds() * 1e3,
		Faults: b.faults, Remarks: b.remarks, Samples: b.samples,
	}
	if b.gateway == standIn {
		r.Gateway = "a second bare proxy"
	}
	for _, s := range chosen {
		for _, m := range []metric{toFirst, memory, perHeld, cpu, rate, p50, p99} {
			if row, ok := b.row(s, m); ok {
				r.Rows = append(r.Rows, row)
			}
		}
	}
	return r
}

// row makes the row of one metric; ok is false when the scenario does not measure it.
func (b *bench) row(s scenario, m metric) (r row, ok bool) {
	r = row{Scenario: s.name, About: s.about, Metric: m}
	values := map[string]map[int]float64{}
	for _, sample := range b.samples {
		if sample.Scenario != s.name || sample.Metric != m {
			continue
		}
		if values[sample.Peer] == nil {
			values[sample.Peer] = map[int]float64{}
		}
		values[sample.Peer][sample.Round] = sample.Value
	}
	r.Direct, r.Bare, r.Gateway = medianOf(values[directPeer]), medianOf(values[barePeer]), medianOf(values[gatewayPeer])
	var ratios []float64
	for round, value := range values[gatewayPeer] {
		if bare := values[barePeer][round]; bare > 0 {
			ratios = append(ratios, value/bare)
		}
	}
	if len(ratios) > 0 {
		middle, low, high := median(ratios), slices.Min(ratios), slices.Max(ratios)
		r.Ratio, r.Low, r.High = &middle, &low, &high
	}
	for _, g := range s.goals {
		if g.metric == m {
			r.judge(g)
		}
	}
	return r, len(values) > 0
}

// judge holds the row to a goal. A figure that is missing does not meet it.
func (r *row) judge(g goal) {
	value := r.Ratio
	if g.absolute {
		value = r.Gateway
	}
	met := value != nil && g.met(*value)
	r.Goal, r.Met = g.String(), &met
}

func medianOf(rounds map[int]float64) *float64 {
	if len(rounds) == 0 {
		return nil
	}
	var values []float64
	for _, v := range rounds {
		values = append(values, v)
	}
	m := median(values)
	return &m
}

func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// print writes the report and turns it into the run's outcome.
func (b *bench) print(r report, stdout io.Writer) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if b.settings.save != "" {
		if err := os.WriteFile(b.settings.save, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if b.settings.output == "json" {
		_, err = fmt.Fprintf(stdout, "%s\n", text)
	} else {
		err = r.table(stdout)
	}
	if err != nil {
		return err
	}
	if len(r.Faults) > 0 {
		return fmt.Errorf("answers were not right: %s", strings.Join(r.Faults, "\n"))
	}
	missed := slices.ContainsFunc(r.Rows, func(row row) bool { return row.Met != nil && !*row.Met })
	if b.settings.enforce && missed {
		return errMissed
	}
	return nil
}

// table writes two tables: the figures that have a goal, and all of them.
func (r report) table(to io.Writer) error {
	fmt.Fprintf(to, "%s, %s, %d CPUs, %s, route %s, %d rounds of %.0f ms, %.0f s\n", r.Date, r.Go, r.CPUs, r.Gateway, r.Route,
		r.Rounds, r.WindowMS, r.Seconds)
	var faults error
	for _, goals := range []bool{true, false} {
		if len(r.Rows) > 0 {
			faults = errors.Join(faults, r.rows(to, goals))
		}
	}
	if r.Leak != nil {
		r.Leak.write(to)
	}
	for _, remark := range r.Remarks {
		fmt.Fprintln(to, "-", remark)
	}
	for _, fault := range r.Faults {
		fmt.Fprintln(to, "WRONG:", fault)
	}
	return faults
}

func (r report) rows(to io.Writer, goals bool) error {
	title := "\nall figures (medians over rounds; ratio is gateway to bare, taken within a round)"
	head := "scenario\tmetric\tdirect\tbare\tgateway\tratio\tlowest\thighest\t"
	if goals {
		title = "\nfigures with a goal (×: of the bare proxy's in the same round)"
		head = "scenario\twhat\tmetric\tbare\tgateway\tratio\tgoal\tmet\t"
	}
	fmt.Fprintln(to, title)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, row := range r.Rows {
		switch {
		case goals && row.Met != nil:
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", row.Scenario, row.About, row.Metric, number(row.Bare), number(row.Gateway),
				ratio(row.Ratio), row.Goal, map[bool]string{true: "yes", false: "NO"}[*row.Met])
		case !goals:
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", row.Scenario, row.Metric, number(row.Direct), number(row.Bare),
				number(row.Gateway), ratio(row.Ratio), ratio(row.Low), ratio(row.High))
		}
	}
	return w.Flush()
}

func number(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case *v >= 100:
		return fmt.Sprintf("%.0f", *v)
	}
	return fmt.Sprintf("%.1f", *v)
}

func ratio(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}
