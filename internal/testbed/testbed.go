// Package testbed starts private servers for tests and the demo: PostgreSQL of
// every major version that is installed, MariaDB, and an S3 server. Each lives in a
// temporary folder of its own, listens on a free port of the loopback interface
// and is gone when its owner is, killed or not.
//
// It imports the standard library and the databases' drivers, and nothing of pgmove, so that
// the tests of any package may use it. Only tests and the demo import it: what
// pgmove does to a user's databases never goes through here. It never skips a
// test (a server that is missing is a failure, with what to do about it), never
// touches a server that it did not start, and installs nothing: install.sh
// beside it does, as `make tools`.
package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// makeTools is what errors tell to do where a server is not installed.
const makeTools = "run `make tools`, which installs it"

// folderPattern is how the servers' temporary folders are named.
const folderPattern = "pgmove-testbed-"

// ToolsDir is the folder in which install.sh puts what does not come from the
// distribution's packages: $PGMOVE_TOOLS, else a cache folder. Root's is not in
// its home folder, which the servers' unprivileged user could not enter.
func ToolsDir() string {
	if dir := os.Getenv("PGMOVE_TOOLS"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return "/var/cache/pgmove-tools"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".cache", "pgmove-tools")
}

// newFolder makes a server's temporary folder, owned by the user it runs as. The lock
// it returns is held for as long as this process lives and the folder is used:
// a folder without it was left by a process that was killed, and goes.
func newFolder(u *user) (dir string, lock *os.File, err error) {
	sweep()
	base := os.TempDir()
	if u != nil {
		if err := reachable(base); err != nil {
			return "", nil, err
		}
	}
	if dir, err = os.MkdirTemp(base, folderPattern); err != nil {
		return "", nil, fmt.Errorf("make a folder for a server: %w", err)
	}
	if lock, err = lockFile(filepath.Join(dir, "lock")); err == nil {
		err = u.own(dir)
	}
	if err != nil {
		if lock != nil {
			err = errors.Join(err, lock.Close())
		}
		return "", nil, errors.Join(fmt.Errorf("make a folder for a server: %w", err), os.RemoveAll(dir))
	}
	return dir, lock, nil
}

// reachable reports as an error that other users can't enter dir.
func reachable(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for p := abs; ; p = filepath.Dir(p) {
		st, err := os.Stat(p)
		if err != nil {
			return err
		}
		if st.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("servers run as an unprivileged user, who can't enter %s: set TMPDIR to a folder that all users may enter", p)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// sweep removes the folders of processes that were killed. It does what it can:
// a folder that can't be removed now (another user's, say) is left for later.
func sweep() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), folderPattern+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		// A young folder may be one whose owner is about to lock it.
		st, err := os.Stat(dir)
		if err != nil || time.Since(st.ModTime()) < time.Minute {
			continue
		}
		lock, err := lockFile(filepath.Join(dir, "lock"))
		if err != nil {
			continue
		}
		// A server of its own takes a moment to die after its parent; RemoveAll
		// meeting a file just made is no harm, the next sweep takes the rest.
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

// Ports for servers come from below the range from which systems take the local
// ports of outgoing connections (32768 and up on Linux), so that a server that
// is restarted finds its own port free again.
const (
	lowestPort  = 16000
	highestPort = 30000
)

// freePort returns a port of the loopback interface on which nothing listens.
// Another process may take it before its user does, who then tries anew.
func freePort() (int, error) {
	var last error
	for range 50 {
		port := lowestPort + mathrand.IntN(highestPort-lowestPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("find a free port on 127.0.0.1: %w", last)
}

// onFreePort has a server start on a free port; where another process takes it in between, which its error then says, on another one.
func onFreePort(port *int, taken string, start func() error) (err error) {
	for range 5 {
		if *port, err = freePort(); err != nil {
			return err
		}
		if err = start(); err == nil || !strings.Contains(err.Error(), taken) {
			return err
		}
	}
	return err
}

// secret returns a random string to be used as a password or a key.
func secret() string { return rand.Text() }

// tail returns the last lines of a log for an error message.
func tail(log string) string {
	const keep = 12
	lines := strings.Split(strings.TrimSpace(log), "\n")
	if len(lines) > keep {
		lines = lines[len(lines)-keep:]
	}
	return strings.Join(lines, "\n")
}

// isFile reports whether path is a file that can be executed.
func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0
}

// until calls ready until it succeeds. It gives up when ctx ends, or with what
// alive says as soon as that is an error.
func until(ctx context.Context, alive func() error, ready func() error) error {
	for pause := 5 * time.Millisecond; ; {
		if err := alive(); err != nil {
			return err
		}
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		case <-time.After(pause):
		}
		pause = min(pause*2, 100*time.Millisecond)
	}
}

// readLog returns a server's log, "" where there is none yet.
func readLog(path string) string {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "(no log: " + err.Error() + ")"
	}
	return string(b)
}
