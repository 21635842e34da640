package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

const auditLong = `Look at the record of who had what done.

It is in audit.dir of the configuration, or in the directory that is named.`

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Verify the audit log, or look at its end",
		Long:    auditLong,
		GroupID: groupMore,
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerify(), newAuditTail())
	return cmd
}

// auditPlace says where the log is.
type auditPlace struct {
	source
	checkpoints, key string
}

// settings are the section of the configuration, with what was named instead of
// it.
func (p *auditPlace) settings(cmd *cobra.Command, args []string) (config.Audit, error) {
	if len(args) > 1 {
		return config.Audit{}, exit(exitUsage, usageError(cmd, errors.New("one directory at a time")))
	}
	if len(args) == 1 {
		return config.Audit{Dir: args[0], Checkpoints: p.checkpoints}, nil
	}
	cfg, name, err := p.load()
	if err != nil {
		return config.Audit{}, err
	}
	if cfg.Audit.Dir == "" {
		return config.Audit{}, exit(exitUsage, fmt.Errorf("%s has no audit.dir: name the directory of the log", name))
	}
	if p.checkpoints != "" {
		cfg.Audit.Checkpoints = p.checkpoints
	}
	return cfg.Audit, nil
}

const auditVerifyLong = `Read the whole audit log and compare it with its checkpoints. The exit code is 0
only if no record is missing or changed; every fault is told with its place.

Nothing but files is read: it can be done on another machine, with a copy of the
log, of the checkpoints and of the public key. Take the key from a place that
nobody could change who can change the log; without --key it is the one beside
the checkpoints.`

func newAuditVerify() *cobra.Command {
	place := &auditPlace{}
	form := ""
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Prove that no record is missing or changed",
		Long:  auditVerifyLong,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("-o", form, formText, formJSON); err != nil {
				return err
			}
			section, err := place.settings(cmd, args)
			if err != nil {
				return err
			}
			return auditVerify(cmd, section, place.key, form)
		},
	}
	place.flags(cmd)
	cmd.Flags().StringVar(&place.checkpoints, "checkpoints", "", "`DIR` of the checkpoints (default as configured, or in the log's)")
	cmd.Flags().StringVar(&place.key, "key", "", "`FILE` with the public key (default audit.pub beside the checkpoints)")
	cmd.Flags().StringVarP(&form, "output", "o", formText, "`FORM`: text or json")
	return cmd
}

// withoutKey says why there is no public key where it was looked for: mostly there
// is no log either. Where there is a key, a log that is gone is a fault of the log.
func withoutKey(section config.Audit, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	const advice = "name the directory that audit.dir in the configuration names"
	switch held, readErr := audit.Holds(section.Dir); {
	case errors.Is(readErr, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %s: %s", section.Dir, advice)
	case readErr != nil:
		return fmt.Errorf("read audit log: %w", readErr)
	case !held:
		return fmt.Errorf("there is no audit log in %s, and no public key that one was signed with: %s", section.Dir, advice)
	}
	return fmt.Errorf("%w: name the directory of the checkpoints with --checkpoints, or the key with --key", err)
}

func auditVerify(cmd *cobra.Command, section config.Audit, keyFile, form string) error {
	if keyFile == "" {
		keyFile = section.CheckpointDir()
	}
	key, err := audit.PublicKey(keyFile)
	if err != nil {
		return exit(exitFailure, withoutKey(section, err))
	}
	r, err := audit.Verify(cmd.Context(), audit.VerifyOptions{Dir: section.Dir, Checkpoints: section.CheckpointDir(), Key: key})
	if err != nil {
		return exit(exitFailure, err)
	}
	s := newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr())
	if form == formJSON {
		if err := printJSON(s, auditReport(r)); err != nil {
			return err
		}
	} else {
		tellReport(s, r)
	}
	if len(r.Faults) > 0 {
		return exit(exitFailure, nil)
	}
	return nil
}

// auditReport is what "audit verify -o json" prints.
func auditReport(r *audit.Report) any {
	faults := []string{}
	for _, f := range r.Faults {
		faults = append(faults, f.String())
	}
	return map[string]any{
		"whole": len(r.Faults) == 0, "records": r.Records, "first": r.First, "last": r.Last, "segments": r.Segments,
		"checkpoints": r.Checkpoints, "retired": r.Retired, "unsealed": r.Unsealed, "unfinished": r.Unfinished,
		"recoveries": r.Recoveries, "torn_bytes": r.Torn, "faults": faults, "more_faults": r.MoreFaults,
	}
}

func tellReport(s *screen, r *audit.Report) {
	for _, f := range r.Faults {
		fmt.Fprintln(s.out, harmless(f.String()))
	}
	if r.MoreFaults > 0 {
		fmt.Fprintf(s.out, "and %d more\n", r.MoreFaults)
	}
	verdict := "no record is missing or changed"
	if n := len(r.Faults) + r.MoreFaults; n > 0 {
		verdict = "NOT WHOLE: " + count(n, "fault")
	}
	fmt.Fprintf(s.out, "%s: records %d to %d in %s, %s\n", verdict, r.First, r.Last, count(r.Segments, "segment"), count(r.Checkpoints, "checkpoint"))
	for _, note := range []struct {
		n    uint64
		text string
	}{
		{r.Retired, "records before were removed on purpose, which is signed"},
		{r.Unsealed, "records are after the last checkpoint: had there been more of them, nobody could tell"},
		{r.Unfinished, "calls have no outcome: they are under way, or were cut short by a crash; a loss of power takes outcomes of 20 ms too"},
		{r.Recoveries, "times something was cut off that was not on disk yet, after a crash or a failure of the disk"},
		{uint64(r.Torn), "bytes at the end are no whole record: being written, or left by a crash"},
	} {
		if note.n > 0 {
			fmt.Fprintf(s.out, "  %d %s\n", note.n, note.text)
		}
	}
}

func newAuditTail() *cobra.Command {
	place := &auditPlace{}
	last, follow, form := 0, false, ""
	cmd := &cobra.Command{
		Use:   "tail [DIR]",
		Short: "Show the last records, and what comes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("-o", form, formText, formJSON); err != nil {
				return err
			}
			section, err := place.settings(cmd, args)
			if err != nil {
				return err
			}
			return auditTail(cmd.Context(), cmd.OutOrStdout(), section.Dir, tailed{last, follow, form})
		},
	}
	place.flags(cmd)
	cmd.Flags().IntVarP(&last, "lines", "n", 20, "how many `RECORDS` from the end, at most 10000")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written, until interrupted")
	cmd.Flags().StringVarP(&form, "output", "o", formText, "`FORM`: text or json, a line for each record")
	return cmd
}

// tailed is what is shown of a log's end.
type tailed struct {
	last   int
	follow bool
	form   string
}

func auditTail(ctx context.Context, out io.Writer, dir string, t tailed) error {
	err := audit.Tail(ctx, dir, t.last, t.follow, func(line []byte) error {
		text := string(line)
		if t.form == formText {
			text = recordText(line)
		}
		_, err := fmt.Fprintln(out, text)
		return err
	})
	if err != nil {
		return exit(exitFailure, err)
	}
	return nil
}

// recordText writes a record for people: what matters first, then the rest.
func recordText(line []byte) string {
	var r struct {
		Seq                                                 uint64
		Of                                                  uint64
		Time, Kind, Principal, Method, Server, Name         string
		Decision, Rule, Outcome, Text, Request, Trace, Auth string
		Code                                                int
		DurationUS                                          int64 `json:"duration_us"`
		Arguments                                           json.RawMessage
		Attrs                                               map[string]string
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return harmless(string(line))
	}
	words := []string{fmt.Sprint(r.Seq), r.Time, r.Kind}
	add := func(name, value string) {
		if value != "" && value != "0" {
			words = append(words, name+value)
		}
	}
	add("of ", fmt.Sprint(r.Of))
	add("", r.Principal)
	add("", r.Method)
	add("", strings.Trim(r.Server+" "+r.Name, " "))
	add("", r.Decision)
	add("by ", r.Rule)
	add("", string(r.Arguments))
	add("", r.Outcome)
	add("code ", fmt.Sprint(r.Code))
	if r.DurationUS > 0 {
		add("", fmt.Sprintf("%.1f ms", float64(r.DurationUS)/1e3))
	}
	add("", r.Text)
	for _, name := range slices.Sorted(maps.Keys(r.Attrs)) {
		add(name+"=", r.Attrs[name])
	}
	return harmless(strings.ReplaceAll(strings.Join(words, "  "), "\n", `\n`))
}
