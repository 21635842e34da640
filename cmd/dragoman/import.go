package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/clients"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// takeover makes a configuration of what clients on this machine have.
type takeover struct {
	all        bool
	list       bool
	from       []string
	out        string
	project    string
	dryRun     bool
	references bool
	force      bool
}

const importLong = `Take over the servers of the MCP clients on this machine: read their files, and
write one configuration of all. The clients' files are not changed.

The file that is written holds the secrets that the clients' files hold, and
only you may read it. With --references they go into a file of variables beside
it, and the configuration refers to them with ${NAME}.`

const importExamples = `  # which clients are known, and which are here
  dragoman import --list

  # everything, into dragoman.yaml
  dragoman import --all

  # show what would be written
  dragoman import --from cursor --dry-run

  # one file, to standard output
  dragoman import ./mcp.json --out -`

func newImport() *cobra.Command {
	t := &takeover{}
	cmd := &cobra.Command{
		Use:     "import --all | --from CLIENT | FILE...",
		Short:   "Take over the servers of the MCP clients on this machine",
		Long:    importLong,
		Example: importExamples,
		GroupID: groupSet,
		RunE:    t.run,
	}
	f := cmd.Flags()
	f.BoolVar(&t.all, "all", false, "read every client that is known")
	f.BoolVar(&t.list, "list", false, "list the clients that are known, and read nothing")
	f.StringSliceVar(&t.from, "from", nil, "read this `CLIENT`; can be repeated")
	f.StringVar(&t.out, "out", defaultFile, "write to this `FILE`; - is standard output")
	f.StringVar(&t.project, "project", "", "count the clients' files in this project `DIR` too")
	f.BoolVar(&t.dryRun, "dry-run", false, "show what would be written, without secrets")
	f.BoolVar(&t.references, "references", false, "move secrets into a file of variables")
	f.BoolVar(&t.force, "force", false, "write over files that are there")
	return cmd
}

// sources are the clients to be read.
func (t *takeover) sources(cmd *cobra.Command, files []string) ([]clients.Client, error) {
	at, err := t.locations()
	if err != nil {
		return nil, err
	}
	known := clients.Known(at)
	if t.all {
		if len(t.from) > 0 || len(files) > 0 {
			return nil, exit(exitUsage, usageError(cmd, errors.New("--all is everything: leave --from and files out")))
		}
		return known, nil
	}
	var ids []string
	for _, c := range known {
		ids = append(ids, c.ID)
	}
	var out []clients.Client
	for _, id := range t.from {
		i := slices.Index(ids, id)
		if i < 0 {
			text := fmt.Sprintf("there is no client %q", id)
			alike := slices.DeleteFunc(slices.Clone(ids), func(known string) bool { return !strings.HasPrefix(known, id+"-") })
			if len(alike) > 0 {
				text += "; did you mean " + strings.Join(alike, " or ") + "?"
			} else if guess := strict.Suggest(id, ids); guess != "" {
				text += fmt.Sprintf("; did you mean %s?", guess)
			}
			return nil, exit(exitNotFound, errors.New(text+" (dragoman import --list names all)"))
		}
		out = append(out, known[i])
	}
	for _, file := range files {
		c, err := clients.Open(file, at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, exit(exitNotFound, fmt.Errorf("there is no file %s", file))
		}
		if err != nil {
			return nil, exit(exitConfig, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, exit(exitUsage, usageError(cmd, errors.New("say what to import: --all, --from CLIENT or a file")))
	}
	return out, nil
}

func (t *takeover) locations() (clients.Locations, error) {
	project := t.project
	if project != "" {
		dir, err := filepath.Abs(project)
		if err != nil {
			return clients.Locations{}, err
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return clients.Locations{}, exit(exitUsage, fmt.Errorf("--project: %s is no directory", project))
		}
		project = dir
	}
	return clients.Here(os.LookupEnv, project), nil
}

func (t *takeover) run(cmd *cobra.Command, files []string) error {
	s := newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr())
	if t.list {
		return t.known(s)
	}
	from, err := t.sources(cmd, files)
	if err != nil {
		return err
	}
	h := t.read(from)
	// When the file itself goes to standard output, what is told about it does not.
	tell := *s
	if t.dryRun || t.out == "-" {
		tell.out, tell.colour, tell.width = s.err, s.errColour, columns(s.err, s.errTTY)
	}
	h.show(&tell)
	if len(h.servers) == 0 {
		if len(h.failed) > 0 {
			return exit(exitConfig, errors.New("no server was found, and not every file could be read"))
		}
		return exit(exitNotFound, errors.New("no server was found; dragoman import --list shows where was looked"))
	}
	if t.dryRun {
		text, _, err := clients.Render(withoutSecrets(h.servers, t.references), t.references)
		if err == nil {
			_, err = s.out.Write(text)
		}
		return err
	}
	text, variables, err := clients.Render(h.servers, t.references)
	if err != nil {
		return err
	}
	if t.out == "-" {
		_, err = s.out.Write(text)
		return err
	}
	if err := t.write(s, text, variables); err != nil {
		return err
	}
	return t.check(s, variables)
}

// harvest is what was found.
type harvest struct {
	from     []clients.Client
	found    map[string]int // servers by client, before they were merged
	servers  []clients.Server
	warnings []clients.Warning
	failed   []error
}

func (t *takeover) read(from []clients.Client) harvest {
	h := harvest{from: from, found: make(map[string]int)}
	var lists [][]clients.Server
	for _, c := range from {
		servers, warnings, err := c.Read()
		if err != nil {
			h.failed = append(h.failed, err)
		}
		h.found[c.ID] += len(servers)
		lists = append(lists, servers)
		h.warnings = append(h.warnings, warnings...)
	}
	merged, warnings := clients.Merge(ourselves(), lists...)
	h.servers, h.warnings = merged, append(h.warnings, warnings...)
	return h
}

// ourselves are the addresses at which this gateway may be configured in a
// client already.
func ourselves() []string {
	out := []string{"http://127.0.0.1:8000"}
	if cfg, _, err := (&source{}).load(); err == nil {
		out = append(out, "http://"+reachable(cfg.Listen))
	}
	return out
}

// show tells per server where it came from, and what a person should know.
func (h harvest) show(s *screen) {
	if len(h.servers) > 0 {
		t := table{head: []string{"SERVER", "CLIENT", "WHAT"}}
		for _, server := range h.servers {
			_, where := whereabouts(server.Config)
			if server.Config.Disabled {
				where = "disabled: " + where
			}
			t.add(server.Name, oneLine(server.Title), oneLine(where))
		}
		t.write(s.out, s)
	}
	for _, w := range h.warnings {
		s.say("warning: %s", w)
	}
	for _, err := range h.failed {
		s.say("warning: %s", err)
	}
}

// known lists the clients, and how many of their files are here.
func (t *takeover) known(s *screen) error {
	at, err := t.locations()
	if err != nil {
		return err
	}
	list := table{head: []string{"CLIENT", "NAME", "FILE"}}
	for _, c := range clients.Known(at) {
		var here []string
		for _, f := range c.Files {
			if _, err := os.Stat(f.Path); err == nil && !slices.Contains(here, f.Path) {
				here = append(here, f.Path)
			}
		}
		if len(here) == 0 {
			here = []string{"not here"}
		}
		list.add(c.ID, c.Title, strings.Join(here, ", "))
	}
	list.write(s.out, s)
	return nil
}

// withoutSecrets puts a word in place of what would be moved into variables.
func withoutSecrets(servers []clients.Server, references bool) []clients.Server {
	if references {
		return servers
	}
	var out []clients.Server
	for _, server := range servers {
		_, variables, err := clients.Render([]clients.Server{server}, true)
		if err != nil {
			return servers
		}
		server.Config.Env = hidden(server.Config.Env, variables)
		server.Config.Headers = hidden(server.Config.Headers, variables)
		out = append(out, server)
	}
	return out
}

func hidden(named map[string]config.Secret, variables []clients.Variable) map[string]config.Secret {
	if named == nil {
		return nil
	}
	out := make(map[string]config.Secret, len(named))
	for name, value := range named {
		text := value.Reveal()
		for _, v := range variables {
			text = strings.ReplaceAll(text, literal(v.Value.Reveal()), "[redacted]")
		}
		out[name] = config.Secret(text)
	}
	return out
}
