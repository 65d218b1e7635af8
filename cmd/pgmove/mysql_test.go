package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// mariaServers are two servers, of which the first is moved from.
func mariaServers(t *testing.T) (from, to *testbed.MariaDB) {
	t.Helper()
	return testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
}

// mustBeEqualMaria fails the test where the oracle finds a difference.
func mustBeEqualMaria(t *testing.T, from *testbed.MariaDB, src string, to *testbed.MariaDB, dst string, ignore ...string) {
	t.Helper()
	d, err := testbed.MariaDifference(t.Context(), from, src, to, dst, ignore...)
	if err != nil {
		t.Fatal(err)
	}
	if d != "" {
		t.Errorf("source and target differ:\n%s", d)
	}
}

// TestMySQLEverything moves the fixture of all traps from one server to another, each way.
func TestMySQLEverything(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaFixture(t, from, src)
	s3 := shareS3(t)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"direct", nil},
		{"direct in chunks", []string{"--split-size", "16kB", "--jobs", "4"}},
		{"directory in chunks", []string{"--split-size", "32kB", "--via", "file://" + t.TempDir() + "/a"}},
		{"S3", []string{"--split-size", "64kB", "--s3-path-style", "--via", "s3://" + testbed.Bucket(t, s3) + "/some/prefix"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := testbed.MariaDatabase(t, src, to) // servers print their names into definitions
			out := mustExit(t, 0, append([]string{"run", "--source", from.URL(src), "--target", to.URL(dst)}, c.args...)...)
			mustBeEqualMaria(t, from, src, to, dst)
			wantText(t, out, "equal", "foreign key own of table tree: 1 rows violate it")
			if strings.Contains(out, from.Password()) || strings.Contains(out, to.Password()) {
				t.Errorf("the output shows a password:\n%s", out)
			}
		})
	}
}

// myloader has stock myloader load an archive.
func myloader(t *testing.T, m *testbed.MariaDB, dir string, threads int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "myloader", "--host=127.0.0.1", fmt.Sprintf("--port=%d", m.Port()), "--user="+m.User(), "--password="+m.Password(), "--directory="+dir, fmt.Sprintf("--threads=%d", threads), "--verbose=2")
	cmd.Dir = dir // where it looks for the files that statements name
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(strings.ToUpper(string(out)), "CRITICAL") {
		t.Fatalf("myloader: %v\n%s", err, out)
	}
}

// TestMySQLStockLoader: stock myloader restores an archive of pgmove's whole, and so does pgmove when its own part is gone.
func TestMySQLStockLoader(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaFixture(t, from, src)
	for threads, split := range map[int]string{1: "32kB", 2: "256MiB"} { // several threads at one table are docs/mysql.md's
		dir := t.TempDir() + "/a"
		mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir, "--split-size", split, "--compress", "none")
		if err := to.Exec(t.Context(), "", "DROP DATABASE IF EXISTS `"+src+"`"); err != nil {
			t.Fatal(err)
		}
		testbed.MariaDatabase(t, src, to)
		myloader(t, to, dir, threads)
		mustBeEqualMaria(t, from, src, to, src, testbed.TrailingBlanks)
	}
}

// TestMySQLValidate: what was moved compares with the report, the archive and the source; one row changed does not.
func TestMySQLValidate(t *testing.T) {
	t.Parallel()
	from, src, to, dst := bazaarDatabases(t)
	dir := t.TempDir()
	report, archive := filepath.Join(dir, "report.json"), filepath.Join(dir, "archive")
	out := mustExit(t, 0, "run", "--source", from.URL(src), "--target", to.URL(dst), "--report", report, "--via", archive, "--split-size", "64kB")
	wantText(t, out, "orders", "5000", "equal", "schema entries compared")
	if n, err := to.Value(t.Context(), dst, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'pgmove%'"); err != nil || n != "0" {
		t.Errorf("the ledger is still there: %s %v", n, err)
	}
	wantText(t, mustExit(t, 0, "inspect", archive), "MariaDB 10", "orders", "zstd", "rung=")
	mustExit(t, 0, "verify", archive)
	compared := func(code int, want string) {
		t.Helper()
		for _, with := range [][]string{{"--digests", report}, {"--archive", archive}, {"--source", from.URL(src)}} {
			wantText(t, mustExit(t, code, append([]string{"validate", "--target", to.URL(dst)}, with...)...), want)
		}
	}
	compared(0, "equal")
	for _, c := range []struct{ name, change, undo, want string }{
		{"value", "UPDATE orders SET note = CONCAT(note, '!') WHERE id = 777", "UPDATE orders SET note = LEFT(note, 77) WHERE id = 777", "orders"},
		{"sequence", "ALTER TABLE customer AUTO_INCREMENT = 7000", "ALTER TABLE customer AUTO_INCREMENT = 501", "sequence customer"},
		{"index", "ALTER TABLE orders ADD KEY more (note(5))", "DROP INDEX more ON orders", "INDEX orders is defined differently"},
		{"extra table", "CREATE TABLE intruder (a int)", "DROP TABLE intruder", "TABLE intruder is on the target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testbed.MariaSQL(t, to, dst, c.change)
			compared(30, c.want)
			testbed.MariaSQL(t, to, dst, c.undo)
		})
	}
	compared(0, "equal")
	// An archive that was harmed is refused, whatever of it.
	for _, name := range []string{src + ".orders.00000.dat.zst", "metadata", src + ".orders-schema.sql"} {
		file := filepath.Join(archive, name)
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := slices.Clone(good)
		bad[len(bad)/2] ^= 0x10
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		again := testbed.MariaDatabase(t, "", to)
		wantText(t, mustExit(t, 31, "restore", "--from", archive, "--target", to.URL(again)), "dump again")
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMySQLTwoSides dumps on one side and restores on the other while that goes on.
func TestMySQLTwoSides(t *testing.T) {
	t.Parallel()
	from, src, to, dst := bazaarDatabases(t)
	dir := t.TempDir() + "/a"
	restored := beside(t, "restore", "--wait", "--from", dir, "--target", to.URL(dst))
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir, "--split-size", "64kB")
	if r := <-restored; r.code != 0 || !strings.Contains(r.out, "equal") {
		t.Errorf("the restore ended with %d:\n%s%s", r.code, r.out, r.errors)
	}
	if d, err := testbed.MariaDifference(t.Context(), from, src, to, dst); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

// TestMySQLStockDumper: pgmove restores what stock mydumper wrote, and an archive of its own whose own part is gone.
func TestMySQLStockDumper(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, src, muchBazaar+`
		CREATE FUNCTION steps() RETURNS int DETERMINISTIC
		BEGIN
			DECLARE i int DEFAULT 7;
			RETURN i;
		END;
		CREATE VIEW a_view AS SELECT steps() AS n, COUNT(*) AS c FROM sad;
		CREATE TABLE quoted (id int PRIMARY KEY, v varchar(100), b varbinary(20));
		INSERT INTO quoted VALUES (1, 'it''s; "this"\n(2)', X'00FF5C270A3B'), (2, '\\', X'5C'), (3, NULL, NULL), (4, '', '');
		CREATE TABLE clock (at timestamp);
		INSERT INTO clock VALUES ('2026-01-01 12:00:00');
		SET foreign_key_checks = 0;
		INSERT INTO orders VALUES (99999, 4711, NULL, NULL)`)
	restored := func(dir, ignore string, want ...string) {
		t.Helper()
		dst := testbed.MariaDatabase(t, "", to)
		out := mustExit(t, 0, "restore", "--from", dir, "--target", to.URL(dst))
		wantText(t, out, append(want, "counted", "its rows are counted, not compared", "foreign key bought of table orders: 1 rows violate it")...)
		// Rows' past is not in mydumper's dumps.
		mustBeEqualMaria(t, from, src, to, dst, ignore, testbed.TrailingBlanks)
	}
	own := t.TempDir() + "/own"
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", own, "--split-size", "64kB")
	if err := os.RemoveAll(own + "/pgmove"); err != nil {
		t.Fatal(err)
	}
	restored(own, "^nothing$", "mydumper")
	for _, more := range [][]string{nil, {"--rows=700", "--compress"}, {"--skip-tz-utc"}} {
		dir := t.TempDir() + "/md"
		cmd := exec.CommandContext(t.Context(), "mydumper", append([]string{"--host=127.0.0.1", fmt.Sprintf("--port=%d", from.Port()), "--user=" + from.User(), "--password=" + from.Password(),
			"--database=" + src, "--outputdir=" + dir, "--triggers", "--events", "--routines", "--threads=2"}, more...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mydumper: %v\n%s", err, out)
		}
		if slices.Contains(more, "--skip-tz-utc") {
			wantText(t, mustExit(t, 10, "restore", "--from", dir, "--target", to.URL(testbed.MariaDatabase(t, "", to))), "TIMESTAMPs of table clock", "--skip-tz-utc")
			continue
		}
		wantText(t, mustExit(t, 0, "inspect", dir), "mydumper", "orders", "without digests")
		restored(dir, "^past$", "mydumper")
		if more != nil {
			continue
		}
		// What is not whole, or has a name of its own, is refused.
		for name, code := range map[string]int{src + ".we ird.sql": 10, src + ".unknown.sql": 10, src + "-what.txt": 10} {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			dst := testbed.MariaDatabase(t, "", to)
			wantText(t, mustExit(t, code, "restore", "--from", dir, "--target", to.URL(dst)), name, "myloader")
			untouchedMaria(t, to, dst)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, src+".quoted-schema.sql")); err != nil {
			t.Fatal(err)
		}
		wantText(t, mustExit(t, 10, "restore", "--from", dir, "--target", to.URL(testbed.MariaDatabase(t, "", to))), "belongs to no table")
	}
}
