package filestore_test

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// TestDiskFull fills a small disk: an outage, of which nothing is left.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := open(t, dir)
	if err := s.Put(t.Context(), "a/fits", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/large", "a/fits"} {
		err := s.Put(t.Context(), key, bytes.NewReader(make([]byte, 2<<20)))
		if stream.KindOf(err) != stream.Outage || !strings.Contains(err.Error(), "no space") {
			t.Errorf("Put: kind %v: %v", stream.KindOf(err), err)
		}
	}
	if left := temporaries(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := s.Put(t.Context(), "a/fits2", bytes.NewReader(make([]byte, 500_000))); err != nil {
		t.Errorf("the room was not given back: %v", err)
	}
}
