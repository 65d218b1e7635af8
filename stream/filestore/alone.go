package filestore

import (
	"os"
	"syscall"
)

// Alone takes a lock on the directory, which ends with the process, and reports whether no other process that
// writes an archive there has it. Where the file system knows no locks, the answer is no.
func (s *Store) Alone() (bool, error) {
	s.lockMu.Lock()
	defer s.lockMu.Unlock()
	if s.lock != nil {
		return true, nil
	}
	f, err := os.Open(s.dir)
	if err != nil {
		return false, openFailure(s.dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return false, f.Close()
	}
	s.lock = f
	return true, nil
}
