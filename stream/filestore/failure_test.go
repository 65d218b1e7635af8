package filestore

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// TestFailures: what the operating system says, as the user is told it.
func TestFailures(t *testing.T) {
	s := &Store{dir: "/archive"}
	for _, c := range []struct {
		err  error
		kind stream.Kind
		want string
	}{
		{&fs.PathError{Op: "write", Path: "a/.pgmove~1", Err: syscall.ENOSPC}, stream.Outage, "/archive/a/k: no space is left on the disk: "},
		{&os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.EDQUOT}, stream.Outage, "/archive/a/k: no space is left on the disk: "},
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.EACCES}, stream.Denied, "/archive/a/k: writing is not permitted: "},
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.EIO}, stream.Failed, "writing /archive/a/k: "},
	} {
		err := s.fail("writing", "a/k", c.err)
		if stream.KindOf(err) != c.kind || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "~") {
			t.Errorf("kind %v: %v; want kind %v and %q", stream.KindOf(err), err, c.kind, c.want)
		}
		var number syscall.Errno
		if !errors.As(err, &number) {
			t.Errorf("%v hides its cause", err)
		}
		open := openFailure("/archive", c.err)
		if k := stream.KindOf(open); k != c.kind && k != stream.Preflight {
			t.Errorf("opening: kind %v: %v", k, open)
		}
	}
}
