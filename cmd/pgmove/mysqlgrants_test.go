package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// sqlOf returns the SQL that docs/mysql.md gives for an account and for the server, for databases, names and passwords of
// its own.
func sqlOf(t *testing.T, want string, replace ...string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/mysql.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(m[1], want) {
			return strings.NewReplacer(append(replace, "'secret'", "'"+canary+"'")...).Replace(m[1])
		}
	}
	t.Fatalf("docs/mysql.md has no SQL that begins with %s", want)
	return ""
}

// TestMySQLGrants moves the fixture with the grants of docs/mysql.md and nothing more, none of which RDS withholds; each of them
// taken away is a refusal that says so, before the target is touched.
func TestMySQLGrants(t *testing.T) {
	from := testbed.SharedMariaDB(t, 0)
	to := testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{"server-id": "9", "local-infile": "0"}})
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaFixture(t, from, src)
	testbed.MariaSQL(t, from, "", sqlOf(t, "CREATE USER 'pgmove_source'", "app.", src+"."))
	t.Cleanup(func() { _ = from.Exec(t.Context(), "", "DROP USER pgmove_source") })
	giver, taker := "'pgmove_source'@'%'", "'pgmove_target'@'%'"
	run := func(more ...string) []string {
		return append([]string{"run", "--source", from.URLAs("pgmove_source", canary, src), "--target", to.URLAs("pgmove_target", canary, src), "--split-size", "64kB"}, more...)
	}
	testbed.MariaSQL(t, to, "", sqlOf(t, "CREATE DATABASE app", "app", src))
	refused := func(m *testbed.MariaDB, code int, take, give string, want ...string) {
		t.Helper()
		testbed.MariaSQL(t, m, "", take)
		wantText(t, mustExit(t, code, run("--definer", "strip")...), want...)
		untouchedMaria(t, to, src)
		testbed.MariaSQL(t, m, "", give)
	}
	on := " ON `" + src + "`.* "
	refused(to, 10, "DO 0", "SET GLOBAL local_infile = ON", "local_infile")
	refused(to, 10, "DO 0", sqlOf(t, "SET GLOBAL local_infile"), "log_bin_trust_function_creators")
	for _, p := range []string{"SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "LOCK TABLES"} {
		refused(from, 12, "REVOKE "+p+on+"FROM "+giver, "GRANT "+p+on+"TO "+giver, strings.Fields(p)[0])
	}
	refused(from, 12, "REVOKE SELECT ON mysql.proc FROM "+giver, "DO 0", "mysql.proc")
	refused(from, 12, "REVOKE EXECUTE"+on+"FROM "+giver, "GRANT EXECUTE"+on+"TO "+giver+"; GRANT SELECT ON mysql.proc TO "+giver, "lacks EXECUTE")
	for _, p := range []string{"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "REFERENCES", "CREATE VIEW", "TRIGGER", "CREATE ROUTINE", "EVENT"} {
		refused(to, 12, "REVOKE "+p+on+"FROM "+taker, "GRANT "+p+on+"TO "+taker, "lacks "+p, "GRANT")
	}
	wantText(t, mustExit(t, 12, run()...), "`no body`@`%`", "SET USER")
	untouchedMaria(t, to, src)

	wantText(t, mustExit(t, 0, run("--definer", "strip")...), "equal")
	// The server prints a view's tables with their database where it doesn't know the definer.
	mustBeEqualMaria(t, from, src, to, src, testbed.Definers, "VIEW `v .``iew` AS select")
	testbed.MariaSQL(t, to, "", "DROP DATABASE `"+src+"`; CREATE DATABASE `"+src+"`; GRANT SET USER ON *.* TO "+taker)
	wantText(t, mustExit(t, 12, run()...), "`no body`@`%`", "mysql.proc", "--no-schema-check")
	untouchedMaria(t, to, src)
	testbed.MariaSQL(t, to, "", sqlOf(t, "GRANT SET USER"))
	wantText(t, mustExit(t, 0, run("--via", t.TempDir()+"/archive")...), "equal")
	mustBeEqualMaria(t, from, src, to, src)
}
