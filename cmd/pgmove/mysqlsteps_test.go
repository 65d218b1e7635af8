package main

import (
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestMySQLSteps moves section by section onto one target: directly, from one archive, and from an archive a section, which stock myloader
// loads as well.
func TestMySQLSteps(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, src, muchBazaar)
	all, apart := t.TempDir()+"/all", t.TempDir()
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", all, "--split-size", "64kB")
	for _, s := range steps {
		mustExit(t, 0, "dump", "--source", from.URL(src), "--to", apart+"/"+s, "--section", s, "--compress", "none")
	}
	for n, c := range []struct {
		name string
		args func(step string) []string
	}{
		{"direct", func(s string) []string {
			return []string{"run", "--source", from.URL(src), "--section", s, "--split-size", "64kB"}
		}},
		{"from one archive", func(s string) []string { return []string{"restore", "--from", all, "--section", s} }},
		{"from three archives", func(s string) []string { return []string{"restore", "--from", apart + "/" + s} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dst := testbed.MariaDatabase(t, "", to)
			into := func(s string) []string { return append(c.args(s), "--target", to.URL(dst)) }
			if n == 0 {
				wantText(t, mustExit(t, 10, into("data")...), "missing", "customer", "--section pre-data first")
				wantText(t, mustExit(t, 10, into("post-data")...), "missing", "customer")
				untouchedMaria(t, to, dst)
			}
			for i, s := range steps {
				out := mustExit(t, 0, into(s)...)
				for _, other := range steps {
					if other != s {
						wantText(t, out, "unverified: section "+other+": it was not moved (--section "+s+")")
					}
				}
				if n == 1 {
					wantText(t, mustExit(t, 10, into(s)...), []string{"the target is not empty", "tables are not empty on the target: customer", "post-data already: EVENT never, FK CONSTRAINT orders bought"}[i])
				}
			}
			mustBeEqualMaria(t, from, src, to, dst)
			if n == 2 {
				mustExit(t, 0, "validate", "--archive", all, "--target", to.URL(dst))
				mustExit(t, 0, "validate", "--source", from.URL(src), "--target", to.URL(dst), "--data-only")
			}
		})
	}
	t.Run("by myloader", func(t *testing.T) {
		t.Parallel()
		testbed.MariaDatabase(t, src, to)
		for _, s := range steps {
			myloader(t, to, apart+"/"+s, 1)
		}
		mustBeEqualMaria(t, from, src, to, src, testbed.TrailingBlanks)
	})
	t.Run("less than asked for", func(t *testing.T) {
		t.Parallel()
		dst := testbed.MariaDatabase(t, "", to)
		wantText(t, mustExit(t, 10, "restore", "--from", apart+"/pre-data", "--target", to.URL(dst), "--section", "pre-data", "--section", "data"),
			"holds no section data", "dumped with --section pre-data")
		wantText(t, mustExit(t, 3, "run", "--source", from.URL(src), "--target", to.URL(dst), "--section", "sequences"), "of section data")
		untouchedMaria(t, to, dst)
	})
}

// mariaChain is tables that refer to each other, in a circle too and to themselves, one without transactions and one with a unique index.
const mariaChain = `
CREATE TABLE root (id int PRIMARY KEY, boss int, leaf int, KEY boss (boss), KEY leaf (leaf), CONSTRAINT boss FOREIGN KEY (boss) REFERENCES root (id));
CREATE TABLE leaf (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, root int NOT NULL, filler varchar(200) CHARACTER SET latin1, UNIQUE KEY filler (filler), KEY root (root),
	CONSTRAINT grows FOREIGN KEY (root) REFERENCES root (id) ON DELETE CASCADE);
CREATE TABLE isam (id int PRIMARY KEY, v varchar(100), KEY v (v)) ENGINE=MyISAM;
INSERT INTO root SELECT seq, NULLIF(seq - 1, 0), NULL FROM seq_1_to_50;
INSERT INTO leaf SELECT seq, 1 + seq % 50, CONCAT(REPEAT('f', 100), seq) FROM seq_1_to_4000;
UPDATE root SET leaf = id;
ALTER TABLE root ADD CONSTRAINT bears FOREIGN KEY (leaf) REFERENCES leaf (id);
INSERT INTO isam SELECT seq, REPEAT('i', seq % 90) FROM seq_1_to_4000;
ANALYZE TABLE root, leaf, isam;
`

// TestMySQLDataOnly loads rows into a finished schema, and is killed meanwhile.
func TestMySQLDataOnly(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, src, mariaChain)
	dir := t.TempDir() + "/a"
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir, "--split-size", "64kB")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"direct", []string{"run", "--source", from.URL(src), "--split-size", "64kB", "-j3"}},
		{"from an archive", []string{"restore", "--from", dir, "-j1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := testbed.MariaDatabase(t, "", to)
			args := append(c.args, "--target", to.URL(dst))
			wantText(t, mustExit(t, 0, append(args, "--schema-only")...), "section data: it was not moved (--schema-only)")
			testbed.MariaSQL(t, to, dst, "ALTER TABLE root ENGINE=InnoDB; CREATE TABLE mine (a int) ENGINE=MyISAM; INSERT INTO mine VALUES (1)")
			if r := execute(t, faults("ledger.chunk:after:5"), 0, append(args, "--data-only")...); r.code != -1 {
				t.Fatalf("it was never killed: exit code %d\n%s%s", r.code, r.out, r.errors)
			}
			if c.args[0] == "run" {
				wantText(t, mustExit(t, 10, append(args, "--data-only")...), "did not finish", "--resume")
				wantText(t, mustExit(t, 3, append(args, "--resume")...), "another selection")
				testbed.MariaSQL(t, from, src, "INSERT INTO leaf SELECT 5000, 7, 'late'; DELETE FROM isam WHERE id = 17")
			} else {
				testbed.MariaSQL(t, to, dst, "CREATE TRIGGER late BEFORE INSERT ON leaf FOR EACH ROW SET NEW.root = 1")
				wantText(t, mustExit(t, 10, append(args, "--data-only", "--resume")...), "would fire", "leaf late")
				testbed.MariaSQL(t, to, dst, "DROP TRIGGER late")
			}
			mustExit(t, 0, append(args, "--data-only", "--resume")...)
			if v, err := to.Value(t.Context(), dst, "SELECT COUNT(*) FROM mine"); err != nil || v != "1" {
				t.Errorf("a table of the target's own has %s rows (%v)", v, err)
			}
			if c.args[0] == "run" {
				testbed.MariaSQL(t, to, dst, "DROP TABLE mine")
				mustBeEqualMaria(t, from, src, to, dst)
			}
		})
	}
	t.Run("what doesn't fit", func(t *testing.T) {
		dst := testbed.MariaDatabase(t, "", to)
		args := []string{"run", "--source", from.URL(src), "--target", to.URL(dst), "--split-size", "64kB"}
		mustExit(t, 0, append(args, "--schema-only")...)
		for _, c := range []struct{ change, undo, want string }{
			{"ALTER TABLE isam CHANGE v w varchar(100)", "ALTER TABLE isam CHANGE w v varchar(100)", "columns are missing on the target: isam.v"},
			{"ALTER TABLE isam DROP v, ADD v varchar(100) AS (id) VIRTUAL", "ALTER TABLE isam DROP v, ADD v varchar(100)", "columns are generated on the target, and take no values: isam.v"},
			{"ALTER TABLE leaf MODIFY filler varchar(200) CHARACTER SET latin2", "ALTER TABLE leaf MODIFY filler varchar(200) CHARACTER SET latin1", "leaf.filler (latin1, on the target latin2)"},
			{"CREATE TRIGGER fires AFTER INSERT ON root FOR EACH ROW DO 1", "DROP TRIGGER fires", "would fire for rows that are moved: root fires"},
			{"INSERT INTO isam VALUES (1, 'one')", "TRUNCATE isam", "tables are not empty on the target: isam"},
			{"RENAME TABLE leaf TO leaves", "RENAME TABLE leaves TO leaf", "missing on the target: leaf"},
		} {
			testbed.MariaSQL(t, to, dst, c.change)
			how := append(args, "--data-only")
			if strings.HasPrefix(c.change, "CREATE") {
				how = append(how, "--dry-run")
			}
			wantText(t, mustExit(t, 10, how...), c.want)
			testbed.MariaSQL(t, to, dst, c.undo)
		}
		// Unique indexes that the target alone has are kept to, and keys that its rows violate are told of.
		testbed.MariaSQL(t, to, dst, "ALTER TABLE isam ENGINE=InnoDB, ADD UNIQUE KEY once (v)")
		wantText(t, mustExit(t, 1, append(args, "--data-only")...), "once")
		testbed.MariaSQL(t, to, dst, "SET foreign_key_checks = 0; DROP TABLE isam, root, leaf, pgmove_ledger_run, pgmove_ledger_taken, pgmove_ledger_facts")
		mustExit(t, 0, append(args, "--schema-only")...)
		testbed.MariaSQL(t, to, dst, "CREATE TABLE few (id int PRIMARY KEY); ALTER TABLE isam ENGINE=InnoDB, ADD CONSTRAINT own FOREIGN KEY (id) REFERENCES few (id)")
		wantText(t, mustExit(t, 0, append(args, "--data-only")...), "foreign key own of table isam: 3999 rows violate it")
	})
}
