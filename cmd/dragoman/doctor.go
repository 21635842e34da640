package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// doctor tries everything that the configuration names, and says what is wrong
// and what to do.
type doctor struct {
	reach
	form string
}

const doctorLong = `Try everything that the configuration names: read it, look at this machine,
start each server, ask it for its lists, and stop it again. There is a line for
each check: PASS, WARN, or FAIL with the reason and what to do. Ends with 1 when
a check has failed. The running gateway, if there is one, is not touched.`

// doctorWait is how long one server may take: a first start may download a package.
const doctorWait = time.Minute

func newDoctor() *cobra.Command {
	d := &doctor{}
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Try every server, and say what is wrong and what to do",
		Long:    doctorLong,
		GroupID: groupSet,
		Args:    nothingMore,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("-o", d.form, formText, formJSON); err != nil {
				return err
			}
			return d.run(cmd)
		},
	}
	d.source.flags(cmd)
	cmd.Flags().StringVarP(&d.form, "output", "o", formText, "`FORM`: text or json")
	cmd.Flags().DurationVar(&d.timeout, "timeout", doctorWait, "how long one server may take")
	cmd.Flags().BoolVarP(&d.verbose, "verbose", "v", false, "log to standard error what happens on the way")
	return cmd
}

// The outcomes of a check.
const (
	passed  = "pass"
	warned  = "warn"
	failed  = "fail"
	skipped = "skip"
)

// finding is the outcome of one check.
type finding struct {
	Status  string   `json:"status"`
	Kind    string   `json:"kind"` // config, machine or server
	Subject string   `json:"subject"`
	Detail  string   `json:"detail"`
	Remedy  string   `json:"remedy,omitempty"`
	Stderr  []string `json:"stderr,omitempty"`
	// Of a server that answered:
	Transport string `json:"transport,omitempty"`
	Revision  string `json:"protocol_version,omitempty"`
	Tools     *int   `json:"tools,omitempty"`
	Prompts   *int   `json:"prompts,omitempty"`
	Resources *int   `json:"resources,omitempty"`
	Millis    *int64 `json:"ready_ms,omitempty"`
	// Of an API that a document describes, what became of the document.
	Coverage json.RawMessage `json:"coverage,omitempty"`
}

// report gathers findings, and shows each as it comes when it is for people.
type report struct {
	screen   *screen
	form     string
	subjects int // cells of the widest subject
	findings []finding
}

func (r *report) add(all ...finding) {
	for _, f := range all {
		r.findings = append(r.findings, f)
		if r.form == formText {
			f.write(r.screen.out, r.screen, r.subjects)
		}
	}
}

// end shows the sum, and is the error that the command ends with.
func (r *report) end() error {
	count := map[string]int{}
	for _, f := range r.findings {
		count[f.Status]++
	}
	if r.form == formJSON {
		body := map[string]any{"good": count[failed] == 0, "checks": r.findings}
		if err := printJSON(r.screen, body); err != nil {
			return err
		}
	} else {
		sum := fmt.Sprintf("%d passed", count[passed])
		for _, word := range []string{warned, failed} {
			if count[word] > 0 {
				sum += fmt.Sprintf(", %d %s", count[word], map[string]string{warned: "with a warning", failed: "failed"}[word])
			}
		}
		fmt.Fprintln(r.screen.out, "\n"+sum)
	}
	if count[failed] > 0 {
		return exit(exitFailure, nil)
	}
	return nil
}

// write is a line, with what to do and last words below it.
func (f finding) write(w io.Writer, s *screen, subjects int) {
	colour := map[string]string{passed: green, warned: yellow, failed: red, skipped: dim}[f.Status]
	subject := oneLine(f.Subject)
	pad := strings.Repeat(" ", max(subjects-cells(subject), 0))
	margin := strings.Repeat(" ", 8+max(subjects, cells(subject)))
	room := 0
	if s.width > 0 {
		room = max(s.width-len(margin), 20)
	}
	fmt.Fprintf(w, "%s  %s%s  %s\n", paint(s.colour, colour, strings.ToUpper(f.Status)), subject, pad,
		strings.Join(wrap(oneLine(f.Detail), room), "\n"+margin))
	if f.Remedy != "" {
		fmt.Fprintf(w, "%s%s\n", margin, strings.Join(wrap("→ "+oneLine(f.Remedy), room), "\n"+margin+"  "))
	}
	for _, line := range tail(f.Stderr) {
		fmt.Fprintf(w, "%s%s\n", margin, paint(s.colour, dim, cut("| "+line, room)))
	}
}

// wrap breaks a text into lines of at most room cells, at spaces, and within a
// word that is longer than a line; 0 is one line.
func wrap(text string, room int) []string {
	if room <= 0 || cells(text) <= room {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && cells(line)+1+cells(word) > room {
			lines, line = append(lines, line), ""
		}
		for len(word) > room && cells(word) > room {
			at := strings.LastIndexAny(word[:room], ":/,") + 1
			if at == 0 {
				at = room
			}
			lines, word = append(lines, word[:at]), word[at:]
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

func (d *doctor) run(cmd *cobra.Command) error {
	r := &report{screen: newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr()), form: d.form, subjects: 6}
	cfg, name, err := d.load()
	if err == nil {
		err = builtinsExist(cfg)
	}
	if err != nil {
		r.add(faultsOf(err)...)
		return r.end()
	}
	checks := d.serverChecks(cfg)
	for _, c := range checks {
		r.subjects = max(r.subjects, cells(c.subject))
	}
	machine := programs(cfg)
	for _, f := range machine {
		r.subjects = max(r.subjects, cells(f.Subject))
	}
	if len(started(cfg)) > 0 {
		r.subjects = max(r.subjects, len(sandboxSubject))
	}
	alone := modest(cfg)
	alone.Servers, alone.Views = nil, nil
	a, err := app.Open(alone, d.options(cmd))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		_ = a.Close(ctx) // the findings are what counts
	}()
	good := fmt.Sprintf("%s is good: %s, %s", name, count(len(cfg.Servers), "server"), count(len(cfg.Views), "view"))
	r.add(finding{Status: passed, Kind: "config", Subject: "config", Detail: good})
	for _, w := range cfg.Warnings {
		r.add(finding{Status: warned, Kind: "config", Subject: "config", Detail: w})
	}
	r.add(openSecrets(cfg, d.path())...)
	r.add(portOf(cmd.Context(), a, cfg))
	r.add(machine...)
	r.add(sandboxes(cmd.Context(), a, cfg)...)
	d.examine(cmd.Context(), a, r, checks)
	if why := interrupted(cmd.Context(), nil); why != nil {
		return why
	}
	return r.end()
}

// faultsOf is a finding for each fault of a configuration.
func faultsOf(err error) []finding {
	var faults strict.Faults
	if !errors.As(err, &faults) {
		return []finding{{Status: failed, Kind: "config", Subject: "config", Detail: err.Error()}}
	}
	var out []finding
	for _, f := range faults {
		detail := f.Place.String()
		if f.Path != "" {
			detail += ": " + f.Path
		}
		out = append(out, finding{Status: failed, Kind: "config", Subject: "config", Detail: detail + ": " + f.Problem, Remedy: f.Remedy})
	}
	return out
}

// serverCheck is a server to be tried, or one replica of a server with several.
type serverCheck struct {
	subject string
	section config.Server
	done    chan []finding // takes one value
}

func (d *doctor) serverChecks(cfg *config.Config) []serverCheck {
	var out []serverCheck
	for _, name := range slices.Sorted(maps.Keys(cfg.Servers)) {
		section := d.impatient(cfg.Servers[name])
		if len(section.URLs) < 2 {
			out = append(out, serverCheck{name, section, make(chan []finding, 1)})
			continue
		}
		for i, replica := range section.URLs {
			one := section
			one.URL, one.URLs = replica.URL, nil
			out = append(out, serverCheck{fmt.Sprintf("%s[%d]", name, i), one, make(chan []finding, 1)})
		}
	}
	return out
}

// examine tries all servers at the same time and shows them in order.
func (d *doctor) examine(ctx context.Context, a *app.App, r *report, checks []serverCheck) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range checks {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.timeout, doctorWait))
			defer cancel()
			c.done <- c.try(ctx, a)
		})
	}
	for _, c := range checks {
		waiting := watch(r.screen, "trying "+c.subject)
		found := <-c.done
		waiting.stop()
		if ctx.Err() == nil {
			r.add(found...)
		}
	}
}
