package main

import (
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestMySQLClean refreshes a target, again and again, and is killed meanwhile.
func TestMySQLClean(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	dst := testbed.MariaDatabase(t, src, to) // servers print their names into defaults
	testbed.MariaSQL(t, from, src, muchBazaar+"CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1; CREATE TABLE seqs (id int DEFAULT NEXTVAL(alone)); CREATE VIEW over_sad AS SELECT * FROM sad")
	args := []string{"run", "--source", from.URL(src), "--target", to.URL(dst), "--clean", "--split-size", "64kB"}
	mustExit(t, 0, args...) // an empty one is fine too
	testbed.MariaSQL(t, from, src, `ALTER TABLE orders ADD more int; DROP TABLE log; CREATE TABLE fresh (a int); INSERT INTO fresh VALUES (1); UPDATE customer SET mood = 'ok'; DROP VIEW over_sad`)
	testbed.MariaSQL(t, to, dst, `DROP PROCEDURE cheer; CREATE PROCEDURE CHEER() SELECT 1; DELETE FROM orders; ALTER TABLE isam ADD junk int; CREATE TABLE mine (a int PRIMARY KEY); INSERT INTO mine VALUES (1); CREATE VIEW my_view AS SELECT id FROM orders;
		CREATE PROCEDURE my_own() SELECT 1; DROP FUNCTION one`)
	out := mustExit(t, 0, args...)
	wantText(t, out, "--clean replaces 5 tables", "TABLE log is on the target but not on the source: it was left", "TABLE mine", "VIEW my_view", "VIEW over_sad", "PROCEDURE my_own")
	if v, err := to.Value(t.Context(), dst, "SELECT CONCAT((SELECT COUNT(*) FROM mine), ' ', (SELECT COUNT(*) FROM my_view), ' ', (SELECT COUNT(*) FROM log))"); err != nil || v != "1 5000 3500" {
		t.Errorf("what stays has %s rows (%v)", v, err)
	}
	testbed.MariaSQL(t, to, dst, "DROP TABLE mine, log; DROP VIEW my_view, over_sad; DROP PROCEDURE my_own")
	mustBeEqualMaria(t, from, src, to, dst)

	// What stands against it is named, and nothing goes.
	other := testbed.MariaDatabase(t, "", to)
	for i, c := range []struct{ make, undo, want string }{
		{"CREATE INDEX extra ON orders (more)", "DROP INDEX extra ON orders", "INDEX orders extra"},
		{"CREATE TRIGGER extra BEFORE INSERT ON customer FOR EACH ROW DO 1", "DROP TRIGGER extra", "TRIGGER customer extra"},
		{"CREATE TABLE refers (o bigint, CONSTRAINT stays FOREIGN KEY (o) REFERENCES orders (id))", "DROP TABLE refers", "stays of table refers to orders"},
		{"CREATE TABLE `" + other + "`.refers (o bigint, CONSTRAINT elsewhere FOREIGN KEY (o) REFERENCES `" + dst + "`.orders (id))", "DROP TABLE `" + other + "`.refers", "elsewhere of table " + other + ".refers to orders"},
		{"RENAME TABLE fresh TO stale; CREATE VIEW fresh AS SELECT 1", "DROP VIEW fresh; RENAME TABLE stale TO fresh", "names of what is to be created: VIEW fresh"},
		{"DROP TRIGGER loud; CREATE TABLE stays (a int); CREATE TRIGGER loud BEFORE INSERT ON stays FOR EACH ROW DO 1",
			"DROP TABLE stays; CREATE TRIGGER loud BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = CONCAT(NEW.note, '!')", "TRIGGER stays loud"},
		{"ALTER TABLE orders DROP FOREIGN KEY bought; CREATE TABLE stays (a int, CONSTRAINT bought FOREIGN KEY (a) REFERENCES customer (id))",
			"DROP TABLE stays; ALTER TABLE orders ADD CONSTRAINT bought FOREIGN KEY (customer) REFERENCES customer (id)", "FK CONSTRAINT stays bought"},
		{"ALTER TABLE fresh ADD id int, ADD CONSTRAINT mine FOREIGN KEY (id) REFERENCES customer (id)", "ALTER TABLE fresh DROP FOREIGN KEY mine, DROP COLUMN id", "FK CONSTRAINT fresh mine"},
	} {
		testbed.MariaSQL(t, to, dst, c.make)
		how := []string{"--dry-run"}
		if i%3 == 0 {
			how = nil
		}
		wantText(t, mustExit(t, 10, append(args, how...)...), c.want)
		testbed.MariaSQL(t, to, dst, c.undo)
	}
	wantText(t, mustExit(t, 0, append(args, "--dry-run")...), "--clean replaces 6 tables", "nothing was changed")
	wantText(t, mustExit(t, 10, append(args, "--section", "pre-data")...), "would drop what would not come again", "FK CONSTRAINT orders bought")
	wantText(t, mustExit(t, 10, "run", "--source", from.URL(src), "--target", from.URL(src), "--clean"), "the same database")
	mustBeEqualMaria(t, from, src, to, dst)

	// Killed before, within and after the cleaning, it resumes; what the target alone has stays, and nothing that was not listed goes.
	dir := t.TempDir() + "/a"
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir, "--split-size", "64kB")
	restore := []string{"restore", "--from", dir, "--target", to.URL(dst), "-c"}
	for i, c := range []struct {
		point string
		args  []string
	}{{"ledger.prepare:after:1", restore}, {"clean:dropped:4", args}, {"ledger.exec:before:3", restore}} {
		testbed.MariaSQL(t, to, dst, "CREATE TABLE mine (a int)")
		if r := execute(t, faults(c.point), 0, c.args...); r.code != -1 {
			t.Fatalf("%s: it was never killed: exit code %d\n%s%s", c.point, r.code, r.out, r.errors)
		}
		if i == 0 {
			wantText(t, mustExit(t, 10, append(c.args[:len(c.args):len(c.args)], "--clean=false")...), "--resume")
		}
		mustExit(t, 0, append(c.args[:len(c.args):len(c.args)], "--resume")...)
		testbed.MariaSQL(t, to, dst, "DROP TABLE mine") // which has stayed
		mustBeEqualMaria(t, from, src, to, dst)
	}
	// Another run, unfinished, gives way to a new one.
	if r := execute(t, faults("clean:dropped:3"), 0, args...); r.code != -1 {
		t.Fatalf("it was never killed: exit code %d\n%s%s", r.code, r.out, r.errors)
	}
	wantText(t, mustExit(t, 0, restore...), "what an unfinished run left")
	mustBeEqualMaria(t, from, src, to, dst)

	// A part of it.
	testbed.MariaSQL(t, to, dst, "CREATE TABLE mine (a int); INSERT INTO mine VALUES (1); DELETE FROM past")
	mustExit(t, 0, append(args, "--table", "past")...)
	testbed.MariaSQL(t, to, dst, "DROP TABLE mine")
	mustBeEqualMaria(t, from, src, to, dst)
}
