package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/clients"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// variablesFile is where secrets go that the configuration refers to: beside it,
// with .env in place of its extension.
func (t *takeover) variablesFile() string {
	return strings.TrimSuffix(t.out, filepath.Ext(t.out)) + ".env"
}

// write makes the files, which only their owner may read. Either both or none
// are written.
func (t *takeover) write(s *screen, text []byte, variables []clients.Variable) error {
	files := []string{t.out}
	if len(variables) > 0 {
		files = append(files, t.variablesFile())
	}
	for _, file := range files {
		if _, err := os.Lstat(file); err == nil && !t.force {
			return exit(exitFailure, fmt.Errorf("%s is there already: choose another with --out, or write over it with --force", file))
		}
	}
	if len(variables) > 0 {
		if err := t.put(t.variablesFile(), shellLines(variables)); err != nil {
			return err
		}
	}
	if err := t.put(t.out, text); err != nil {
		return err
	}
	s.say("\nwritten: %s", strings.Join(files, ", "))
	return nil
}

// put writes a file as a whole or not at all. Without --force it never takes the
// place of another, not even of one that has come in the meantime.
func (t *takeover) put(name string, text []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(temporary.Name()) // it is gone when all went well
	_, err = temporary.Write(text)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if t.force {
		err = os.Rename(temporary.Name(), name)
	} else {
		err = os.Link(temporary.Name(), name)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			err = os.Rename(temporary.Name(), name) // a file system without links
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// shellLines are NAME='value', for a shell and for env_file alike.
func shellLines(variables []clients.Variable) []byte {
	var b strings.Builder
	b.WriteString("# Made by dragoman import. Secrets: keep this file to yourself.\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "%s='%s'\n", v.Name, strings.ReplaceAll(v.Value.Reveal(), "'", `'\''`))
	}
	return []byte(b.String())
}

// check reads what was written, as the gateway will, and says what to do next.
func (t *takeover) check(s *screen, variables []clients.Variable) error {
	values := make(map[string]string)
	for _, v := range variables {
		values[v.Name] = v.Value.Reveal()
	}
	cfg, err := config.Load(t.out, func(name string) (string, bool) {
		if value, ok := values[name]; ok {
			return value, true
		}
		return os.LookupEnv(name)
	})
	if len(variables) > 0 {
		file := t.variablesFile()
		if !strings.ContainsRune(file, filepath.Separator) {
			file = "./" + file // a shell looks for a bare name in PATH
		}
		s.say("set the variables first: set -a; . %s; set +a", commandLine([]string{file}))
	}
	var faults strict.Faults
	if errors.As(err, &faults) {
		return exit(exitConfig, fmt.Errorf("what was written is not ready yet:\n  %s", strings.ReplaceAll(faults.Error(), "\n", "\n  ")))
	}
	if err != nil {
		return exit(exitConfig, err)
	}
	for _, w := range cfg.Warnings {
		s.say("warning: %s", w)
	}
	flag := ""
	if t.out != defaultFile {
		flag = " -c " + commandLine([]string{t.out})
	}
	s.say("next: %s, then %s", "dragoman doctor"+flag, "dragoman serve"+flag)
	return nil
}
