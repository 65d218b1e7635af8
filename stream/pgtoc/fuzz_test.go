package pgtoc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzRead: what Read takes, Write gives back byte for byte; what it refuses, it refuses with
// one of the package's errors.
func FuzzRead(f *testing.F) {
	for minor := byte(12); minor <= 16; minor++ {
		f.Add(archive(minor, 3, good()))
		f.Add(archive(minor, 1, good()))
	}
	for _, name := range testArchives(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		toc, err := Read(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrCorrupt) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		checkIdentity(t, toc, b)
		toc.Sections()
		toc.Index()
		toc.ByCatalog()
		if m := toc.MaxID(); len(toc.Entries) > 0 && m <= 0 {
			t.Errorf("MaxID is %d", m)
		}
	})
}

func checkIdentity(t *testing.T, toc *TOC, b []byte) {
	t.Helper()
	var out bytes.Buffer
	if err := toc.Write(&out); err != nil {
		t.Fatalf("read but not written: %v", err)
	}
	if toc.Format == Custom {
		b = b[:min(len(b), out.Len())]
	}
	if !bytes.Equal(out.Bytes(), b) {
		t.Error("written otherwise than read")
	}
}

// testArchives returns the tables of contents that pg_dump wrote.
func testArchives(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/pg*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives in testdata: %v", err)
	}
	return names
}
