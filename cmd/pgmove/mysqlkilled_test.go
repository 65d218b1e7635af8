package main

import (
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// muchBazaar is the bazaar and what makes a resume hard: tables without a key, without transactions and with a
// past, a trigger, a sequence, an event and a full-text index.
const muchBazaar = bazaar + `
CREATE TABLE log (at datetime, line text);
INSERT INTO log SELECT NULL, 'twice' FROM seq_1_to_500;
INSERT INTO log SELECT '2026-01-01' + INTERVAL seq SECOND, CONCAT('line ', seq) FROM seq_1_to_3000;
CREATE TABLE isam (id int PRIMARY KEY, v varchar(100), KEY v (v)) ENGINE=MyISAM;
INSERT INTO isam SELECT seq, REPEAT('i', seq % 90) FROM seq_1_to_4000;
CREATE TABLE past (id int PRIMARY KEY, v varchar(100), KEY v (v), FULLTEXT KEY words (v)) WITH SYSTEM VERSIONING;
INSERT INTO past SELECT seq, 'first words' FROM seq_1_to_1500;
UPDATE past SET v = 'second words' WHERE id % 2 = 0;
CREATE SEQUENCE alone START WITH 41 INCREMENT BY 7;
DO NEXTVAL(alone);
CREATE TRIGGER loud BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = CONCAT(NEW.note, '!');
CREATE EVENT never ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO DELETE FROM log;
ANALYZE TABLE customer, orders, log, isam, past;
`

// killedMaria kills a command at a point, has the source changed, and resumes the command.
func killedMaria(t *testing.T, point string, change func(), args ...string) {
	t.Helper()
	args = append(args, "--jobs", "2")
	first := point
	if strings.HasPrefix(point, "ledger.resume") {
		first = "ledger.chunk:after:3"
	}
	if r := execute(t, faults(first), 0, args...); r.code != -1 {
		t.Fatalf("%s: it was never killed: exit code %d\n%s%s", first, r.code, r.out, r.errors)
	}
	if change != nil {
		change()
	}
	if first != point {
		if r := execute(t, faults(point), 0, append(args, "--resume")...); r.code != -1 {
			t.Fatalf("%s: it was never killed: exit code %d\n%s%s", point, r.code, r.out, r.errors)
		}
	}
	if r := execute(t, nil, 0, args...); r.code != 10 {
		t.Errorf("without --resume: exit code %d\n%s", r.code, r.errors)
	}
	if r := execute(t, nil, 0, append(args, "--resume")...); r.code != 0 {
		t.Fatalf("%s: resumed: exit code %d\n%s%s", point, r.code, r.out, r.errors)
	}
}

// TestMySQLKilled kills direct runs between what they do and its ledger row, and before and after that row, while the source changes.
func TestMySQLKilled(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	for _, point := range []string{"ledger.prepare:after:1", "ledger.exec:before:4", "ledger.chunk:before:2", "ledger.chunk:after:7", "ledger.exec:before:14",
		"ledger.exec:before:18", "ledger.resume:after:1", "ledger.finish:before:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			src, dst := testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", to)
			testbed.MariaSQL(t, from, src, muchBazaar)
			change := func() {
				testbed.MariaSQL(t, from, src, "UPDATE orders SET note = 'changed' WHERE id = 4711; INSERT INTO log VALUES (NULL, 'late'); DELETE FROM past WHERE id = 7")
			}
			killedMaria(t, point, change, "run", "--source", from.URL(src), "--target", to.URL(dst), "--split-size", "64kB")
			mustBeEqualMaria(t, from, src, to, dst)
		})
	}
}

// TestMySQLKilledRestore kills a dump, which resumes, and restores of its archive, which resume exactly.
func TestMySQLKilledRestore(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, src, muchBazaar)
	dir := t.TempDir() + "/archive"
	dump := []string{"dump", "--source", from.URL(src), "--to", dir, "--split-size", "64kB"}
	if r := execute(t, faults("archive.record:after:4"), 0, dump...); r.code != -1 {
		t.Fatalf("it was never killed: exit code %d\n%s%s", r.code, r.out, r.errors)
	}
	mustExit(t, 0, append(dump, "--resume")...)
	mustExit(t, 0, "verify", dir)
	for _, point := range []string{"ledger.exec:before:6", "ledger.chunk:before:3", "ledger.exec:before:15", "ledger.resume:after:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dst := testbed.MariaDatabase(t, "", to)
			killedMaria(t, point, nil, "restore", "--from", dir, "--target", to.URL(dst))
			mustBeEqualMaria(t, from, src, to, dst)
		})
	}
}
