// Command ferretdb is a server of MongoDB's protocol for tests: FerretDB, with
// SQLite behind it. It is a module of its own, so that what FerretDB pins does not
// bind the product. It does not know what is stored in it.
//
// usage: ferretdb ADDRESS DIRECTORY
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		slog.Error("ferretdb has ended", "err", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("give an address and a directory")
	}
	db, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: args[0]},
		Handler:   "sqlite",
		SQLiteURL: "file:" + args[1] + "/",
	})
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return db.Run(ctx)
}
