//go:build !linux

package supervisor

import "errors"

// readProcs is not supported: these systems have no /proc.
func readProcs() (map[int]proc, error) { return nil, errors.ErrUnsupported }
