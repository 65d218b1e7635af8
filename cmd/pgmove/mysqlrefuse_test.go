package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore/mytarget"
)

// bazaar is a small database with some of everything that most have.
const bazaar = `
CREATE TABLE customer (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, name varchar(100) NOT NULL, mood enum('sad','ok') DEFAULT 'ok', UNIQUE KEY name (name));
CREATE TABLE orders (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, customer int NOT NULL, at datetime, note text, KEY at (at), CONSTRAINT bought FOREIGN KEY (customer) REFERENCES customer (id));
INSERT INTO customer SELECT seq, CONCAT('customer ', seq), 'sad' FROM seq_1_to_500;
INSERT INTO orders SELECT seq, 1 + seq % 500, '2026-01-01' + INTERVAL seq MINUTE, REPEAT('n', seq % 100) FROM seq_1_to_5000;
CREATE VIEW sad AS SELECT * FROM customer WHERE mood = 'sad';
CREATE PROCEDURE cheer() UPDATE customer SET mood = 'ok';
`

// bazaarDatabases returns two servers, a source with the bazaar, and an empty target.
func bazaarDatabases(t *testing.T) (from *testbed.MariaDB, src string, to *testbed.MariaDB, dst string) {
	t.Helper()
	from, to = mariaServers(t)
	src, dst = testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", to)
	testbed.MariaSQL(t, from, src, bazaar)
	return from, src, to, dst
}

// untouchedMaria fails the test unless the target is as empty as it was.
func untouchedMaria(t *testing.T, m *testbed.MariaDB, db string) {
	t.Helper()
	n, err := m.Value(t.Context(), db, "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()) + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE())")
	if err != nil {
		t.Fatal(err)
	}
	if n != "0" {
		t.Errorf("the target was touched: %s objects", n)
	}
}

// account makes an account with the canary as its password, which is dropped with the test.
func account(t *testing.T, m *testbed.MariaDB, db, grants string) string {
	t.Helper()
	name := "u_" + db
	testbed.MariaSQL(t, m, "", fmt.Sprintf("CREATE OR REPLACE USER `%s`@`%%` IDENTIFIED BY '%s'", name, canary))
	if grants != "" {
		testbed.MariaSQL(t, m, "", fmt.Sprintf("GRANT %s ON `%s`.* TO `%s`@`%%`", grants, db, name))
	}
	t.Cleanup(func() { _ = m.Exec(t.Context(), "", "DROP USER `"+name+"`@`%`") })
	return name
}

func TestMySQLRefusals(t *testing.T) {
	from, src, to, dst := bazaarDatabases(t)
	pg := testbed.Shared(t, 0)
	pgdb := testbed.Database(t, pg)
	pgArchive, myArchive := t.TempDir()+"/pg", t.TempDir()+"/my"
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", myArchive)
	mustExit(t, 0, "dump", "--source", pg.URL(pgdb), "--to", pgArchive)
	full := testbed.MariaDatabase(t, "", to)
	testbed.MariaSQL(t, to, full, "CREATE TABLE here (a int)")
	fenced := testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{"local-infile": "0"}})
	closedDB := testbed.MariaDatabase(t, "", fenced)
	owned := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, owned, "CREATE DEFINER=`some body`@`%` VIEW v AS SELECT 1 AS one")
	fires := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, fires, "CREATE TABLE t (a int); CREATE TRIGGER fire BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1")
	blind, weak, plain := account(t, from, src, "SELECT"), account(t, to, full, ""), account(t, to, dst, "ALL")
	testbed.MariaSQL(t, to, "", fmt.Sprintf("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `%s`.* TO `%s`@`%%`", dst, weak))
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().String()
	_ = nobody.Close()
	notArchive := t.TempDir()
	if err := os.WriteFile(filepath.Join(notArchive, "letter.txt"), []byte("Dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(source, target string, more ...string) []string {
		return append([]string{"run", "--source", source, "--target", target}, more...)
	}
	for _, c := range []struct {
		name string
		code int
		args []string
		want []string
	}{
		{"unreachable", 20, run("mysql://u:"+canary+"@"+closed+"/x", to.URL(dst)), []string{closed, "hint"}},
		{"wrong password", 12, run(from.URLAs(from.User(), canary, src), to.URL(dst)), []string{"password"}},
		{"no database", 10, run(from.URL("no_such_database"), to.URL(dst)), []string{"no_such_database", "create the database"}},
		{"no target database", 10, run(from.URL(src), to.URL("no_such_database")), []string{"no_such_database"}},
		{"target not empty", 10, run(from.URL(src), to.URL(full)), []string{"table here", "replaces nothing unless --clean"}},
		{"local_infile", 10, run(from.URL(src), fenced.URL(closedDB)), []string{"local_infile", "parameter group"}},
		{"the source's account", 12, run(from.URLAs(blind, canary, src), to.URL(dst)), []string{"SHOW VIEW"}},
		{"the target's account", 12, run(from.URL(src), to.URLAs(weak, canary, dst)), []string{"lacks ALTER, CREATE", "GRANT ALL"}},
		{"definers", 12, run(from.URL(owned), to.URLAs(plain, canary, dst)), []string{"`some body`@`%`", "--definer strip", "SET USER"}},
		{"triggers and a binary log", 10, run(from.URL(fires), to.URLAs(plain, canary, dst), "--definer", "strip"), []string{"trigger fire", "log_bin_trust_function_creators"}},
		{"another engine's target", 3, run(from.URL(src), pg.URL(pgdb)), []string{"MySQL or MariaDB cannot be moved to PostgreSQL"}},
		{"another engine's source", 3, run(pg.URL(pgdb), to.URL(dst)), []string{"PostgreSQL cannot be moved to MySQL or MariaDB"}},
		{"another engine's archive", 10, []string{"restore", "--from", pgArchive, "--target", to.URL(dst)}, []string{"an archive of PostgreSQL"}},
		{"an archive of this engine", 10, []string{"restore", "--from", myArchive, "--target", pg.URL(pgdb)}, []string{"an archive of MySQL or MariaDB"}},
		{"another engine compared", 3, []string{"validate", "--archive", myArchive, "--target", pg.URL(pgdb)}, []string{"one engine"}},
		{"not an archive", 31, []string{"restore", "--from", notArchive, "--target", to.URL(dst)}, []string{"not an archive"}},
		{"bad URL", 3, run("mysql://u:"+canary+"@h:99999999/x", to.URL(dst)), nil},
		{"bad definer", 3, run(from.URL(src), to.URL(dst), "--definer", "@"), []string{"app@%"}},
		{"a definer of PostgreSQL", 3, run(pg.URL(pgdb), pg.URL(pgdb), "--definer", "strip"), []string{"--definer is for MySQL"}},
		{"a schema", 3, run(from.URL(src), to.URL(dst), "--schema", "orders"), []string{"--schema is for PostgreSQL"}},
		{"binary rows", 3, run(from.URL(src), to.URL(dst), "--format", "binary"), []string{"rows of MySQL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := mustExit(t, c.code, c.args...)
			wantText(t, out, c.want...)
			for _, secret := range []string{canary, from.Password(), to.Password(), fenced.Password(), pg.Password()} {
				if strings.Contains(out, secret) {
					t.Errorf("the output shows a password:\n%s", out)
				}
			}
			untouchedMaria(t, to, dst)
			untouchedMaria(t, fenced, closedDB)
		})
	}
}

// TestMySQLSecondRun holds the target as another run does.
func TestMySQLSecondRun(t *testing.T) {
	from, src, to, dst := bazaarDatabases(t)
	conn, err := mysession.Parse(to.URL(dst))
	if err != nil {
		t.Fatal(err)
	}
	other, err := mytarget.Open(t.Context(), conn, mytarget.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.CheckEmpty(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantText(t, mustExit(t, 11, "run", "--source", from.URL(src), "--target", to.URL(dst)), "another pgmove")
	untouchedMaria(t, to, dst)
}

// TestMySQLPlainAccounts moves with accounts that have no privilege beyond their database, as those of RDS: what
// others' definers name is stripped, or replaced.
func TestMySQLPlainAccounts(t *testing.T) {
	from, src, to, dst := bazaarDatabases(t)
	reader := account(t, from, src, "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES")
	testbed.MariaSQL(t, from, src, fmt.Sprintf("DROP PROCEDURE cheer; CREATE DEFINER=`%s`@`%%` PROCEDURE cheer() UPDATE customer SET mood = 'ok'", reader)) // whose text it may see
	writer := account(t, to, dst, "ALL")
	run := []string{"run", "--source", from.URLAs(reader, canary, src), "--target", to.URLAs(writer, canary, dst)}
	out := mustExit(t, 0, append(run, "--definer", "strip")...)
	wantText(t, out, "equal")
	if strings.Contains(out, canary) {
		t.Errorf("the output shows a password:\n%s", out)
	}
	wantText(t, mustExit(t, 0, append(run, "--definer", "strip", "--clean")...), "--clean replaces 2 tables", "equal")
	definer := func() string {
		v, err := to.Value(t.Context(), dst, "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if d := definer(); d != writer+"@%" {
		t.Errorf("the view's definer is %s", d)
	}
	testbed.MariaSQL(t, to, "", fmt.Sprintf("DROP DATABASE `%s`; CREATE DATABASE `%s`", dst, dst))
	out = mustExit(t, 0, "run", "--source", from.URL(src), "--target", to.URL(dst), "--definer", "app@10.%")
	wantText(t, out, "equal", "definers have no account on the target", "`app`@`10.%`")
	if d := definer(); d != "app@10.%" {
		t.Errorf("the view's definer is %s", d)
	}
}
