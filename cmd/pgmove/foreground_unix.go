//go:build unix

package main

import "golang.org/x/sys/unix"

// foreground reports whether the terminal is this process's to draw on: a shell has it while the process runs in
// the background.
func foreground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}
