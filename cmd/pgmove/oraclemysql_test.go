//go:build oraclemysql

package main

import (
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestOracleMySQL moves what only Oracle's MySQL has from one server of it to another. Its server is in no package that the tests could
// install, so it has a tag of its own; docs/mysql.md tells how to run it.
func TestOracleMySQL(t *testing.T) {
	from := testbed.OracleMySQL(t, "--server-id=1", "--gtid-mode=ON", "--enforce-gtid-consistency=ON")
	to := testbed.OracleMySQL(t, "--server-id=2")
	src := testbed.MariaDatabase(t, "app", from)
	testbed.OracleFixture(t, from, src)
	fresh := func(t *testing.T) {
		t.Helper()
		testbed.MariaSQL(t, to, "", "DROP DATABASE IF EXISTS app; CREATE DATABASE app")
	}
	equal := func(t *testing.T) {
		t.Helper()
		if d, err := testbed.OracleDifference(t.Context(), from, to, src); err != nil || d != "" {
			t.Errorf("source and target differ (%v):\n%s", err, d)
		}
	}
	ends := []string{"--source", from.URL(src), "--target", to.URL(src)}
	for name, args := range map[string][]string{"direct": nil, "in chunks": {"--split-size", "16kB", "--jobs", "4"}, "by an archive": {"--split-size", "32kB", "--via", t.TempDir() + "/a", "--validate", "rows"}} {
		t.Run(name, func(t *testing.T) {
			fresh(t)
			wantText(t, mustExit(t, 0, append(append([]string{"run"}, ends...), args...)...), "equal", "foreign key own of table tree: 1 rows violate it")
			equal(t)
		})
	}
	t.Run("two sides", func(t *testing.T) {
		fresh(t)
		dir := t.TempDir() + "/a"
		restored := beside(t, "restore", "--wait", "--from", dir, "--target", to.URL(src))
		mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir)
		if r := <-restored; r.code != 0 {
			t.Fatalf("the restore ended with %d:\n%s%s", r.code, r.out, r.errors)
		}
		equal(t)
		mustExit(t, 0, "verify", dir)
		mustExit(t, 0, "validate", "--target", to.URL(src), "--archive", dir)
	})
	t.Run("JSON that its text doesn't tell", func(t *testing.T) {
		testbed.MariaDatabase(t, "dated", from, to)
		testbed.MariaSQL(t, from, "dated", "CREATE TABLE d (id int PRIMARY KEY, j json); INSERT INTO d VALUES (1, CAST(CAST('2020-01-01' AS DATE) AS JSON)), (2, '[1]')")
		wantText(t, mustExit(t, 30, "run", "--source", from.URL("dated"), "--target", to.URL("dated")), "table d has 2 rows, as it should, but not the same ones")
	})
	t.Run("settings that ask for primary keys", func(t *testing.T) {
		for _, name := range []string{"sql_require_primary_key", "sql_generate_invisible_primary_key"} {
			fresh(t)
			testbed.MariaSQL(t, to, "", "SET GLOBAL "+name+" = ON")
			wantText(t, mustExit(t, 10, append([]string{"run"}, ends...)...), name, "no_key")
			untouchedMaria(t, to, src)
			testbed.MariaSQL(t, to, "", "SET GLOBAL "+name+" = OFF")
		}
	})
	t.Run("grants", func(t *testing.T) { oracleGrants(t, from, to, src) })
}

// oracleGrants moves with the grants of docs/mysql.md for MySQL and nothing more.
func oracleGrants(t *testing.T, from, to *testbed.MariaDB, src string) {
	testbed.MariaSQL(t, to, "", "DROP DATABASE app; SET GLOBAL local_infile = OFF")
	give := strings.Replace(sqlOf(t, "CREATE USER 'pgmove_source'"), "GRANT SELECT ON mysql.proc", "GRANT SHOW_ROUTINE ON *.*", 1)
	testbed.MariaSQL(t, from, "", give)
	testbed.MariaSQL(t, to, "", sqlOf(t, "CREATE DATABASE app")+sqlOf(t, "SET GLOBAL local_infile"))
	run := []string{"run", "--source", from.URLAs("pgmove_source", canary, src), "--target", to.URLAs("pgmove_target", canary, src)}
	refused := func(grant string, want ...string) {
		t.Helper()
		wantText(t, mustExit(t, 12, run...), want...)
		untouchedMaria(t, to, src)
		testbed.MariaSQL(t, to, "", grant)
	}
	powerful := "`testbed`@`%`" // made the fixture, and has SYSTEM_USER
	refused("GRANT SET_ANY_DEFINER ON *.* TO pgmove_target", "SET_ANY_DEFINER")
	refused("GRANT SHOW_ROUTINE ON *.* TO pgmove_target", "SHOW_ROUTINE")
	refused("GRANT SELECT ON mysql.user TO pgmove_target", "ALLOW_NONEXISTENT_DEFINER", "may not see")
	refused("GRANT ALLOW_NONEXISTENT_DEFINER ON *.* TO pgmove_target; GRANT SELECT ON mysql.global_grants TO pgmove_target", "ALLOW_NONEXISTENT_DEFINER", "`no body`@`%`")
	refused("DO 0", "SYSTEM_USER", powerful)
	wantText(t, mustExit(t, 0, append(run, "--definer", "strip")...), "equal")
	testbed.MariaSQL(t, to, "", "DROP DATABASE app; CREATE DATABASE app")
	testbed.MariaSQL(t, to, "", sqlOf(t, "GRANT SET_ANY_DEFINER"))
	testbed.MariaSQL(t, to, "", "GRANT SYSTEM_USER ON *.* TO pgmove_target")
	mustExit(t, 0, run...)
	if d, err := testbed.OracleDifference(t.Context(), from, to, src); err != nil || d != "" {
		t.Errorf("source and target differ (%v):\n%s", err, d)
	}
}
