package pgsource

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestProbe: a program is asked once for its version, under whatever names, and Debian's wrapper never.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	program := func(name string) {
		script := fmt.Sprintf("#!/bin/sh\necho %s >> %s\necho 'pg_dump (PostgreSQL) 17.3 (a test)'\n", name, asked)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program("pg_dump")
	program(wrapper)
	for link, to := range map[string]string{"again": "pg_dump", "wrapped": wrapper, "nowhere": "missing"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pg_dump", "again", "pg_dump"} {
		got := probe(t.Context(), filepath.Join(dir, name))
		if got == nil || got.major != 17 || got.minor != 3 || filepath.Base(got.path) != "pg_dump" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, name := range []string{"wrapped", wrapper, "nowhere", "absent", "."} {
		if got := probe(t.Context(), filepath.Join(dir, name)); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if b, err := os.ReadFile(asked); string(b) != "pg_dump\n" {
		t.Errorf("asked were %q, %v", b, err)
	}
}
