package pgsource

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgmove/pgmove/stream"
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

// TestDumpFailure: what pg_dump died of decides how pgmove ends.
func TestDumpFailure(t *testing.T) {
	for _, c := range []struct {
		said string
		want stream.Kind
	}{
		{"error: query failed: server closed the connection unexpectedly; This probably means the server terminated abnormally; detail: Query was: SELECT 'permission denied'", stream.Outage},
		{"error: query failed: FATAL:  terminating connection due to administrator command; SSL connection has been closed unexpectedly", stream.Outage},
		{"error: query failed: SSL SYSCALL error: EOF detected", stream.Outage},
		{"error: connection to server at \"10.0.0.1\", port 5432 failed: Connection refused", stream.Outage},
		{"error: connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  the database system is starting up", stream.Outage},
		{"error: query failed: ERROR:  invalid snapshot identifier: \"00000003-1\"", stream.Outage},
		{"error: query failed: ERROR:  snapshot \"00000003-1\" does not exist; detail: Query was: SET TRANSACTION SNAPSHOT '00000003-1'", stream.Outage},
		{"error: query failed: ERROR:  permission denied for table t; detail: Query was: LOCK TABLE public.\"terminating connection\"", stream.Denied},
		{"error: connection to server at \"h\" failed: SSL error: certificate verify failed", stream.Denied},
		{"error: connection to server at \"h\" failed: server does not support SSL, but SSL was required", stream.Denied},
		{"error: aborting because of server version mismatch", stream.Preflight},
		{"error: query failed: ERROR:  out of memory", stream.Failed},
	} {
		if err := dumpFailure(&tool{version: "15"}, c.said, errors.New("exit status 1")); stream.KindOf(err) != c.want {
			t.Errorf("kind %d instead of %d: %v", stream.KindOf(err), c.want, err)
		}
	}
}
