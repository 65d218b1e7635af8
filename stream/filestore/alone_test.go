package filestore

import (
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// TestAlone: one process at a time has a directory to itself, until it lets go.
func TestAlone(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	ok, release, err := a.Alone()
	if !ok || err != nil {
		t.Fatalf("the first is not alone: %v", err)
	}
	if ok, _, err := b.Alone(); ok || stream.KindOf(err) != stream.Busy {
		t.Errorf("the second: %t, %v", ok, err)
	}
	release()
	ok, release, err = b.Alone()
	if !ok || err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	release()
}
