package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// mariaShelves is a database with names that patterns must tell apart, and all that they may leave out.
const mariaShelves = `
CREATE TABLE orders (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, note text); INSERT INTO orders SELECT seq, 'n' FROM seq_1_to_300;
CREATE TABLE ORDERS (id int); INSERT INTO ORDERS VALUES (1), (2);
CREATE TABLE ` + "`T?b`" + ` (id int); INSERT INTO ` + "`T?b`" + ` VALUES (1);
CREATE TABLE Tab (id int); INSERT INTO Tab VALUES (1), (2), (3);
CREATE TABLE ` + "`a.b`" + ` (id int); INSERT INTO ` + "`a.b`" + ` VALUES (5);
CREATE TABLE part (k int, KEY k (k)) PARTITION BY RANGE (k) (PARTITION p1 VALUES LESS THAN (10), PARTITION p2 VALUES LESS THAN (20));
INSERT INTO part SELECT seq FROM seq_1_to_19;
CREATE TABLE item (id int PRIMARY KEY, orders int, KEY orders (orders), CONSTRAINT of_orders FOREIGN KEY (orders) REFERENCES orders (id));
INSERT INTO item SELECT seq, seq FROM seq_1_to_30;
CREATE TABLE log (line text) ENGINE=MyISAM; INSERT INTO log SELECT 'l' FROM seq_1_to_40;
CREATE SEQUENCE alone; DO NEXTVAL(alone); DO NEXTVAL(alone);
CREATE VIEW notes AS SELECT note FROM orders;
CREATE TRIGGER fire BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = CONCAT(NEW.note, '!');
CREATE PROCEDURE calls() SELECT 1;
CREATE EVENT never ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO DELETE FROM log;
`

// mariaHolds lists what a database has: tables with rows, views, sequences with their next value, triggers, keys, routines, events.
func mariaHolds(t *testing.T, m *testbed.MariaDB, db string) string {
	t.Helper()
	list, err := m.Value(t.Context(), db, `SELECT COALESCE(GROUP_CONCAT(CONCAT(IF(TABLE_TYPE = 'VIEW', 'v', IF(TABLE_TYPE = 'SEQUENCE', 's', 't')), TABLE_NAME) ORDER BY BINARY TABLE_NAME SEPARATOR '\n'), '')
		FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()`)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range strings.Fields(list) {
		name, q := l[1:], "COUNT(*)"
		if l[0] == 's' {
			q = "next_not_cached_value > 1"
		}
		n, err := m.Value(t.Context(), db, "SELECT "+q+" FROM `"+name+"`")
		if err != nil {
			t.Fatal(err)
		}
		if l[0] == 'v' {
			n = "view"
		}
		out = append(out, name+":"+n)
	}
	more, err := m.Value(t.Context(), db, `SELECT CONCAT_WS(' ', (SELECT GROUP_CONCAT(TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()),
		(SELECT GROUP_CONCAT(CONSTRAINT_NAME) FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'FOREIGN KEY'),
		(SELECT GROUP_CONCAT(ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()),
		(SELECT GROUP_CONCAT(EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()))`)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.Join(out, " ") + " | " + more)
}

// TestMySQLSelections moves by patterns, and compares what arrives with what pg_dump would take.
func TestMySQLSelections(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, src, mariaShelves)
	for _, c := range []struct {
		flags []string
		holds string
		says  []string
		kept  bool // in an archive
	}{
		{[]string{"-t", "orders"}, "orders:300 | fire", []string{"rows of 7 tables are left out, as asked: ORDERS, T?b, Tab, a.b"}, false},
		{[]string{"-t", src + ".part", "-t", `"T?b"`, "-t", "AL*"}, "T?b:1 alone:1 part:19 |", nil, true},
		{[]string{"-t", `"ORDERS"`, "-t", `"a.b"`}, "ORDERS:2 a.b:1 |", nil, false},
		{[]string{"-t", "*", "-T", "ord*", "-T", "item", "-T", "notes"}, "ORDERS:2 T?b:1 Tab:3 a.b:1 alone:1 log:40 part:19 |", nil, false},
		{[]string{"-T", "item", "-T", "notes", "-T", `"T?b"`, "-T", "gone*", "-T", "other.part"}, "ORDERS:2 Tab:3 a.b:1 alone:1 log:40 orders:300 part:19 | fire calls never", nil, false},
		{[]string{"--exclude-table-data", "orders", "--exclude-table-data=alone"},
			"ORDERS:2 T?b:1 Tab:3 a.b:1 alone:0 item:30 log:40 notes:view orders:0 part:19 | fire of_orders calls never", []string{"rows of 1 tables are left out, as asked: orders", "foreign key of_orders of table item: 30 rows violate it: the rows that they refer to were left out"}, true},
		{[]string{"-t", "orders", "-t", "notes", "-t", "item", "-s"}, "item:0 notes:view orders:0 | fire of_orders", nil, false},
	} {
		t.Run(strings.Join(c.flags, " "), func(t *testing.T) {
			t.Parallel()
			dst, dir := testbed.MariaDatabase(t, "", to), t.TempDir()+"/a"
			run := append([]string{"run", "--source", from.URL(src), "--target", to.URL(dst), "-j2"}, c.flags...)
			if c.kept {
				run = append(run, "--via", dir)
			}
			wantText(t, mustExit(t, 0, run...), c.says...)
			if got := mariaHolds(t, to, dst); got != c.holds {
				t.Errorf("the target holds\n%s\ninstead of\n%s", got, c.holds)
			}
			if !c.kept {
				return
			}
			// The archive says what it is of, and a comparison with the source keeps to it.
			again := testbed.MariaDatabase(t, "", to)
			wantText(t, mustExit(t, 0, "inspect", dir), c.flags[1])
			mustExit(t, 0, "restore", "--from", dir, "--target", to.URL(again))
			if got := mariaHolds(t, to, again); got != c.holds {
				t.Errorf("the archive's target holds\n%s\ninstead of\n%s", got, c.holds)
			}
			mustExit(t, 0, append([]string{"validate", "--source", from.URL(src), "--target", to.URL(again)}, c.flags...)...)
		})
	}
}

// TestMySQLSelectionRefusals: what matches nothing, what needs what was left out, what means nothing here, and what a run did not begin with.
func TestMySQLSelectionRefusals(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src, dst := testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", to)
	testbed.MariaSQL(t, from, src, mariaShelves)
	run := []string{"run", "--source", from.URL(src), "--target", to.URL(dst)}
	for _, c := range []struct {
		code int
		args []string
		want []string
	}{
		{10, []string{"-t", "orders", "-t", "gone", "-t", "Tab"}, []string{"no table, view or sequence matches --table gone, --table Tab", "double quotes"}},
		{10, []string{"-t", "other.orders"}, []string{"--table other.orders", "database.table"}},
		{10, []string{"-t", "Tab"}, []string{"--table Tab", `write --table '"Tab"'`}},
		{3, []string{"-t", "a.b.c"}, []string{"too many dots"}},
		{3, []string{"-T", `"orders`}, []string{"not closed"}},
		{3, []string{"-n", src}, []string{"--schema is for PostgreSQL", "a schema is the database"}},
		{3, []string{"-N", src}, []string{"--exclude-schema is for PostgreSQL"}},
		{3, []string{"--table-and-children", "part"}, []string{"partitions come with their table"}},
		{3, []string{"--disable-triggers", "--data-only"}, []string{"cannot switch triggers off"}},
		{0, []string{"-t", "item", "--dry-run"}, []string{"selection: --table item", "foreign key of_orders of item refers to orders, which is not moved"}},
	} {
		wantText(t, mustExit(t, c.code, append(run, c.args...)...), c.want...)
		untouchedMaria(t, to, dst)
	}
	wantText(t, mustExit(t, 1, append(run, "-T", "orders", "-T", "notes")...), "which is not moved: it fails where that is not on the target", "it refers to table orders, which is not moved and not on the target")
	fresh := func() {
		t.Helper()
		testbed.MariaSQL(t, to, "", fmt.Sprintf("DROP DATABASE `%s`; CREATE DATABASE `%[1]s`", dst))
	}
	fresh()
	wantText(t, mustExit(t, 1, append(run, "-T", "orders", "--on-error", "continue")...), "2 entries failed", "VIEW notes")
	fresh()
	dir := t.TempDir() + "/a"
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir, "-T", "log")
	for _, args := range [][]string{append(run, "-T", "log"), {"restore", "--from", dir, "--target", to.URL(dst)}} {
		if r := execute(t, faults("ledger.exec:after:4"), 0, args...); r.code != -1 {
			t.Fatalf("it was never killed: exit code %d\n%s%s", r.code, r.out, r.errors)
		}
		if args[0] == "run" {
			wantText(t, mustExit(t, 3, append(run[:len(run):len(run)], append(args[len(run)+2:], "--resume")...)...), "another selection")
		}
		mustExit(t, 0, append(args, "--resume")...)
		want := "ORDERS:2 T?b:1 Tab:3 a.b:1 alone:1 item:30 notes:view orders:300 part:19 | fire of_orders calls never"
		if got := mariaHolds(t, to, dst); got != want {
			t.Errorf("after a resume the target holds\n%s\ninstead of\n%s", got, want)
		}
		fresh()
	}
}
