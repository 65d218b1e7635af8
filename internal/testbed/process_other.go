//go:build !linux

package testbed

import (
	"errors"
	"os"
	"syscall"
)

// Where there is no Linux, servers end with the process that started them only
// if it ends in order, and their folders are left to the system.

func attributes(*user) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errors.Join(errors.New("another process's folder"), err)
	}
	return f, nil
}

func hasXattr(string) bool { return false }
