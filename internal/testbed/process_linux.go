package testbed

import (
	"fmt"
	"os"
	"syscall"
)

// attributes are those of a process that runs as u, in a process group of its
// own: a terminal's Ctrl-C is for this process, which stops its servers in order.
func attributes(u *user) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if u != nil {
		a.Credential = &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid)}
	}
	return a
}

// dieWithParent has the kernel send the signal to the process when its parent ends,
// however it ends.
func dieWithParent(a *syscall.SysProcAttr, sig syscall.Signal) { a.Pdeathsig = sig }

// lockFile opens the file, making it, and locks it until it is closed, at the
// latest by this process's end. It fails where another process holds the lock.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// hasXattr reports whether the file system keeps extended attributes for users.
func hasXattr(path string) bool {
	return syscall.Setxattr(path, "user.pgmove", []byte("1"), 0) == nil
}
