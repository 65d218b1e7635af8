package pgsession

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// nameless makes a file in memory that has no name.
func nameless() (*os.File, error) {
	fd, err := unix.MemfdCreate("pgmove", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "pgmove")
	// libpq refuses a password file that others could read.
	if err := f.Chmod(0o600); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
