package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// Endpoint reads the address of a service: scheme and host, and nothing more.
func Endpoint(text string) (*url.URL, error) {
	at, err := url.Parse(text)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || strings.Trim(at.Path, "/") != "" || at.User != nil {
		return nil, fmt.Errorf("the endpoint %q is not of the form https://host or http://host:port", text)
	}
	return at, nil
}

// Holds says whether a condition holds now, for services that do not judge it
// themselves. The empty one does, and nothing is asked.
func Holds(ctx context.Context, store Store, name string, when volume.Condition) error {
	if when == (volume.Condition{}) {
		return nil
	}
	o, err := store.Head(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && when.Match == "":
		return nil
	case err != nil:
		return err
	case when.Absent:
		return fs.ErrExist
	case when.Match != o.Tag:
		return volume.ErrChanged
	}
	return nil
}
