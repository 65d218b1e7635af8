//go:build !linux

package pgsession

import (
	"errors"
	"os"
)

// nameless is for systems that have such files.
func nameless() (*os.File, error) { return nil, errors.ErrUnsupported }
