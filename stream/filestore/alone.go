package filestore

import (
	"os"

	"github.com/pgmove/pgmove/stream"
)

// Alone takes a lock on the directory, until release is called or the process ends, and reports whether it
// has it: then no other process writes an archive there. Where one does, the error is a *stream.Failure of
// kind Busy. Where the file system knows no locks the answer is no.
func (s *Store) Alone() (ok bool, release func(), err error) {
	f, err := os.Open(s.dir)
	if err != nil {
		return false, nil, openFailure(s.dir, err)
	}
	release = func() { _ = f.Close() }
	switch lock(f) {
	case lockTaken:
		return true, release, nil
	case lockHeld:
		release()
		return false, nil, (&stream.Failure{Kind: stream.Busy, Object: s.dir, Msg: "another pgmove is writing an archive there"}).
			WithHint("wait until that one has ended, or end it")
	}
	return false, release, nil
}
