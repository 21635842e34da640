package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/secret"
)

const secretsLong = `Make or change the key file with which the gateway encrypts what it keeps for
others. File and passphrase are those of the section secrets of the
configuration.`

const secretsRotateLong = `Put a new key before those that the key file has. From its next start on the
gateway encrypts with it, and encrypts anew, while it serves, what was encrypted
with the others. They stay in the file: backups need them.`

func newSecrets() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "secrets",
		Short:   "Make the key file, or put a new key into it",
		Long:    secretsLong,
		GroupID: groupMore,
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newSecretsCommand("init", "Make the key file", "", secret.CreateKeyFile),
		newSecretsCommand("rotate", "Put a new key into the key file", secretsRotateLong, secret.RotateKeyFile))
	return cmd
}

func newSecretsCommand(use, short, long string, do func(string, secret.Value) error) *cobra.Command {
	src := &source{}
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: nothingMore,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, name, err := src.load()
			if err != nil {
				return err
			}
			path := cfg.Secrets.KeyFile
			if path == "" {
				return exit(exitUsage, fmt.Errorf("%s has no secrets.key_file: set it, and secrets.passphrase", name))
			}
			passphrase := secret.NewValue([]byte(cfg.Secrets.Passphrase.Reveal()))
			defer passphrase.Destroy()
			if err := do(path, passphrase); errors.Is(err, fs.ErrExist) {
				return exit(exitFailure, fmt.Errorf("%s is there already: its keys may be in use", path))
			} else if err != nil {
				return exit(exitFailure, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is written; keep a copy of it, and of the passphrase elsewhere\n", path)
			return nil
		},
	}
	src.flags(cmd)
	return cmd
}
