package main

import (
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestEncodings moves databases whose names and rows are not UTF-8.
func TestEncodings(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	for _, c := range []struct {
		name, fixture, from, to string
		via                     bool
	}{
		{"LATIN1", "latin1.sql", "LATIN1", "LATIN1", false},
		{"LATIN1 archive", "latin1.sql", "LATIN1", "LATIN1", true},
		{"LATIN1 to UTF8", "latin1.sql", "LATIN1", "UTF8", false},
		{"SQL_ASCII", "sql_ascii.sql", "SQL_ASCII", "SQL_ASCII", false},
		{"SQL_ASCII archive", "sql_ascii.sql", "SQL_ASCII", "SQL_ASCII", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := func(enc string) string {
				return "TEMPLATE template0 ENCODING '" + enc + "' LC_COLLATE 'C' LC_CTYPE 'C'"
			}
			src := testbed.DatabaseWith(t, p, options(c.from))
			dst := testbed.DatabaseWith(t, p, options(c.to))
			conn := connect(t, p.URL(src))
			if err := conn.Exec(t.Context(), "SET client_encoding = 'UTF8'").Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := testbed.LoadFixture(t.Context(), conn, fixtures+c.fixture, testbed.FixtureOptions{Superuser: true}); err != nil {
				t.Fatal(err)
			}
			_ = conn.Close(t.Context())
			if c.from != c.to {
				// A name of 63 letters has 126 bytes in UTF-8, and no server takes it whole.
				testbed.SQL(t, p, src, "DO $$ BEGIN EXECUTE format('DROP TABLE %I.%I', 'sch' || chr(233) || 'ma', repeat(chr(233), 63)); END $$")
			}
			args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "16kB"}
			if c.via {
				args = append(args, "--via", t.TempDir()+"/archive")
			}
			mustExit(t, 0, args...)
			if c.from == c.to { // elsewhere the servers' own hashes are of other bytes
				testbed.MustBeEqual(t, p, src, p, dst)
			}
		})
	}
}
