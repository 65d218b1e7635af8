package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore/mytarget"
)

// grantee makes an account of a name of its own; grants are what stands between GRANT and TO, one by one.
func grantee(t *testing.T, m *testbed.MariaDB, limits string, grants ...string) string {
	t.Helper()
	name := fmt.Sprint("u_", time.Now().UnixNano())
	sql := fmt.Sprintf("CREATE USER `%s`@`%%` IDENTIFIED BY '%s' %s", name, canary, limits)
	for _, g := range grants {
		sql += fmt.Sprintf("; GRANT %s TO `%s`@`%%`", g, name)
	}
	testbed.MariaSQL(t, m, "", sql)
	t.Cleanup(func() { _ = m.Exec(context.Background(), "", "DROP USER `"+name+"`@`%`") })
	return name
}

// TestMySQLCheckFindings provokes every finding of MySQL and MariaDB that there is, and compares them with docs/check.md.
func TestMySQLCheckFindings(t *testing.T) {
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, src, bazaar)
	sides := []string{"--source", from.URL(src), "--target", to.URL(testbed.MariaDatabase(t, "", to))}
	clockSlack = -1
	check(t, 0, sides, "clock-differs")
	clockSlack = 5 * time.Second
	t.Run("all", func(t *testing.T) {
		for _, c := range []struct {
			name string
			f    func(*testing.T)
		}{{"privileges", checkMyPrivileges}, {"objects", checkMyObjects}, {"target's account", checkMyAccounts}, {"words", checkMyWords},
			{"poor server", checkMyPoorServer}, {"reach", checkMyReach}, {"bazaar", func(t *testing.T) { checkMyBazaar(t, sides) }}} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.f(t)
			})
		}
	})
	if !t.Failed() {
		mustBeProvoked(t, mysource.Engine)
	}
}

// checkMyBazaar: a move that nothing stands against has no findings but notes.
func checkMyBazaar(t *testing.T, sides []string) {
	found := check(t, 0, sides, "database-size", "snapshot-by", "slow-binary-log", "slow-buffer-pool", "slow-redo-log", "durability-off")
	wantText(t, found["snapshot-by"].Msg, "backup-stage")
	for id, f := range found {
		if f.Severity != "note" {
			t.Errorf("%s: %s", id, f.Msg)
		}
	}
	out := mustExit(t, 0, append([]string{"check"}, sides...)...)
	wantText(t, out, "note   source  snapshot-by", "note   target  slow-redo-log", "to do: ", "block 0, warn 0, note")
}

func checkMyPrivileges(t *testing.T) {
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	on := " ON `" + src + "`.*"
	testbed.MariaSQL(t, from, src, bazaar+"CREATE TABLE old (a int PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE older (a int PRIMARY KEY) ENGINE=Aria")
	poor := grantee(t, from, "WITH MAX_USER_CONNECTIONS 3", "SELECT, SHOW VIEW, TRIGGER, EXECUTE"+on)
	found := check(t, 10, []string{"--source", from.URLAs(poor, canary, src), "--jobs", "4"}, "source-privileges", "routines-unreadable", "tables-unlockable", "source-connections", "snapshot-by")
	wantText(t, found["source-privileges"].Msg, poor, "lacks EVENT")
	wantText(t, found["routines-unreadable"].Msg, "procedure cheer")
	wantText(t, found["tables-unlockable"].Msg, "old, older")
	wantText(t, found["snapshot-by"].Msg, "binlog-snapshot")
	// A run tells all of them, before it touches the target, and without the check the first.
	dst := testbed.MariaDatabase(t, "", to)
	run := []string{"run", "--source", from.URLAs(poor, canary, src), "--target", to.URL(dst), "--jobs", "1"}
	wantText(t, mustExit(t, 12, run...), "3 findings", "lacks EVENT", "old, older", "procedure cheer", "pgmove check")
	if out := mustExit(t, 12, append(run, "--no-check")...); strings.Contains(out, "cheer") {
		t.Errorf("without the check the run tells of more than it meets:\n%s", out)
	}
	untouchedMaria(t, to, dst)
	testbed.MariaSQL(t, to, dst, "CREATE TABLE here (a int)")
	wantText(t, mustExit(t, 10, run...), "4 findings", "table here")
	blind := grantee(t, from, "", "SHOW VIEW"+on)
	found = check(t, 10, []string{"--source", from.URLAs(blind, canary, src)}, "source-privileges")
	wantText(t, found["source-privileges"].Msg, "SELECT, TRIGGER, EVENT, EXECUTE")
}

func checkMyObjects(t *testing.T) {
	from, to := mariaServers(t)
	other, src := testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, other, "CREATE TABLE parent (id int PRIMARY KEY)")
	testbed.MariaSQL(t, from, src, fmt.Sprintf(`CREATE TABLE keyed (id int PRIMARY KEY); CREATE TABLE bare (a int); CREATE TABLE sums (id int PRIMARY KEY, b int AS (id + 1) STORED);
		CREATE TABLE old (a int PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE all_old (a int PRIMARY KEY) ENGINE=MERGE UNION=(old); CREATE TABLE lost (a int) ENGINE=MERGE UNION=(nothing);
		CREATE TABLE child (id int PRIMARY KEY, CONSTRAINT far FOREIGN KEY (id) REFERENCES %[1]s.parent (id)); CREATE VIEW stale AS SELECT * FROM bare WHERE a > 0;
		CREATE VIEW fresh AS SELECT * FROM keyed; CREATE TRIGGER %[2]s.fire BEFORE INSERT ON %[2]s.keyed FOR EACH ROW SET NEW.id = NEW.id;
		CREATE PROCEDURE named() SELECT COUNT(*) FROM %[2]s.keyed; CREATE PROCEDURE plain() SELECT COUNT(*) FROM keyed;
		CREATE EVENT tick ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DO DELETE FROM keyed; CREATE EVENT idle ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM keyed`, other, src))
	testbed.MariaSQL(t, from, src, "RENAME TABLE bare TO barer")
	elsewhere := func(was, is string) { // as an earlier server may have left it
		dir, err := from.Value(t.Context(), "", "SELECT @@datadir")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, src, "keyed.TRG")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(b), "TRIGGER "+was+".fire", "TRIGGER "+is+".fire")), 0o600); err != nil {
			t.Fatal(err)
		}
		testbed.MariaSQL(t, from, src, "FLUSH TABLES")
	}
	elsewhere(src, other)
	sides := []string{"--source", from.URL(src), "--target", to.URL(testbed.MariaDatabase(t, "", to))}
	found := check(t, 10, sides, "tables-unopenable", "triggers-elsewhere", "tables-not-transactional", "views-broken", "foreign-keys-elsewhere", "tables-without-key", "generated-columns",
		"foreign-tables", "programs-name-database", "events-will-run")
	for id, want := range map[string]string{"tables-unopenable": "table lost", "triggers-elsewhere": "another database", "tables-not-transactional": "(1): old;", "views-broken": "(1): stale;",
		"foreign-keys-elsewhere": "far of table child (database " + other + ")", "tables-without-key": "(1): barer;", "generated-columns": "(1): sums;", "foreign-tables": "(1): all_old (MRG_MyISAM);",
		"programs-name-database": "procedure named", "events-will-run": "tick"} {
		wantText(t, found[id].Msg, want)
	}
	if strings.Contains(found["programs-name-database"].Msg+found["events-will-run"].Msg, "plain") || strings.Contains(found["events-will-run"].Msg, "idle") {
		t.Errorf("too much: %s; %s", found["programs-name-database"].Msg, found["events-will-run"].Msg)
	}
	if got := blocking(found); got != "tables-unopenable triggers-elsewhere" {
		t.Errorf("%s block", got)
	}
	out := mustExit(t, 10, append([]string{"run"}, sides...)...)
	wantText(t, out, "2 findings", "table lost", "fire: the trigger's text names another database")
	wantText(t, mustExit(t, 10, append([]string{"run", "--no-check"}, sides...)...), "table lost")
	// What is warned of is true: with the rest mended, the view ends the run.
	testbed.MariaSQL(t, from, src, "DROP TABLE lost")
	elsewhere(other, src)
	wantText(t, mustExit(t, 1, append([]string{"run"}, sides...)...), "stale", "barer")
}

// checkMyActivity has a server on which others do much; what is prepared there, all databases see.
func checkMyActivity(t *testing.T, from *testbed.MariaDB) {
	t.Helper()
	src := testbed.MariaDatabase(t, "", from)
	testbed.MariaSQL(t, from, src, "CREATE TABLE busy (a int PRIMARY KEY); CREATE TABLE two_phases (a int PRIMARY KEY)")
	xid := "x" + src
	testbed.MariaSQL(t, from, src, fmt.Sprintf("XA START '%[1]s'; INSERT INTO two_phases VALUES (1); XA END '%[1]s'; XA PREPARE '%[1]s'", xid))
	conn, err := mysession.Parse(from.URL(src))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := mysession.Connect(t.Context(), conn, mysession.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.End()
	for _, sql := range []string{"START TRANSACTION", "DO (SELECT COUNT(*) FROM busy)"} {
		if err := reader.Do(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	waits := make(chan error, 1)
	go func() { waits <- from.Exec(t.Context(), src, "ALTER TABLE busy ADD b int") }()
	deadline := time.Now().Add(30 * time.Second)
	for {
		n, err := from.Value(t.Context(), src, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND STATE LIKE 'Waiting for%lock'")
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("nothing waits: %v", err)
		}
		if n != "0" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(t, 0, []string{"--source", from.URL(src)}, "exclusive-locks", "prepared-transactions")
	testbed.MariaSQL(t, from, src, "XA ROLLBACK '"+xid+"'")
	if err := reader.Do(t.Context(), "ROLLBACK"); err != nil {
		t.Error(err)
	}
	if err := <-waits; err != nil {
		t.Error(err)
	}
}

// checkMyAccounts asks for what several accounts lack on the target.
func checkMyAccounts(t *testing.T) {
	from, to := mariaServers(t)
	src, dst := testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", to)
	on := " ON `" + dst + "`.*"
	testbed.MariaSQL(t, from, src, bazaar+"CREATE TRIGGER fire BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = ''; CREATE DEFINER=`some body`@`%` FUNCTION one() RETURNS int DETERMINISTIC RETURN 1")
	args := func(account string, more ...string) []string {
		return append([]string{"--source", from.URL(src), "--target", to.URLAs(account, canary, dst)}, more...)
	}
	weak := grantee(t, to, "WITH MAX_USER_CONNECTIONS 4", "SELECT, SHOW VIEW"+on)
	found := check(t, 10, args(weak, "--jobs", "2"), "target-privileges", "functions-not-trusted", "definers-denied", "routines-not-readable", "target-connections")
	wantText(t, found["target-privileges"].Msg, weak, "ALTER, CREATE, CREATE ROUTINE, CREATE VIEW")
	wantText(t, found["functions-not-trusted"].Msg, "function one", "trigger fire")
	wantText(t, found["definers-denied"].Msg, "`some body`@`%`", "`testbed`@`%`")
	wantText(t, mustExit(t, 10, append([]string{"run"}, args(weak, "--jobs", "1")...)...), "4 findings", "CREATE ROUTINE", "some body", "log_bin_trust_function_creators")
	untouchedMaria(t, to, dst)
	// Each is gone with what the hint says.
	plain := grantee(t, to, "", "ALL"+on)
	if got := blocking(check(t, 10, args(plain, "--definer", "strip"))); got != "functions-not-trusted" {
		t.Errorf("%s block", got)
	}
	named := grantee(t, to, "", "ALL"+on, "SET USER ON *.*")
	if got := blocking(check(t, 10, args(named))); got != "functions-not-trusted routines-not-readable" {
		t.Errorf("%s block", got)
	}
	if got := blocking(check(t, 10, args(named, "--no-schema-check"))); got != "functions-not-trusted" {
		t.Errorf("%s block", got)
	}
	found = check(t, 0, []string{"--source", from.URL(src), "--target", to.URL(dst)}, "definers-missing")
	wantText(t, found["definers-missing"].Msg, "`some body`@`%`")
	if strings.Contains(found["definers-missing"].Msg, "testbed") {
		t.Errorf("an account that is there is missing: %s", found["definers-missing"].Msg)
	}
	// Alone it is asked for what every move needs.
	found = check(t, 10, []string{"--target", to.URLAs(weak, canary, dst)}, "target-privileges")
	wantText(t, found["target-privileges"].Msg, "ALTER, CREATE, DELETE, DROP, INDEX, INSERT, UPDATE")
	// Another run holds it.
	conn, err := mysession.Parse(to.URL(dst))
	if err != nil {
		t.Fatal(err)
	}
	run, err := mytarget.Open(t.Context(), conn, mytarget.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if err := run.CheckEmpty(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, 10, []string{"--target", to.URL(dst)}, "target-busy")
}

// checkMyWords has proxies before the servers that make them out to be older ones, or to know other words.
func checkMyWords(t *testing.T) {
	from, to := mariaServers(t)
	src, dst := testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", to)
	found := check(t, 10, []string{"--source", altered(t, from.URL(src), "10.11.", "10.02."), "--target", altered(t, to.URL(dst), "10.11.", "10.02.")}, "source-too-old", "target-too-old")
	if len(found) != 2 {
		t.Errorf("%d findings of servers that are too old", len(found))
	}
	testbed.MariaSQL(t, from, "mysql", `INSERT INTO time_zone (Use_leap_seconds) VALUES ('N'); SET @id = LAST_INSERT_ID(); INSERT INTO time_zone_name VALUES ('Nowhere/Here', @id);
		INSERT INTO time_zone_transition_type VALUES (@id, 0, 3600, 0, 'NWT')`)
	t.Cleanup(func() {
		_ = from.Exec(context.Background(), "mysql", "DELETE t, n, y FROM time_zone t JOIN time_zone_name n USING (Time_zone_id) JOIN time_zone_transition_type y USING (Time_zone_id) WHERE n.Name = 'Nowhere/Here'")
	})
	testbed.MariaSQL(t, from, src, `CREATE TABLE letters (a varchar(10) COLLATE utf8mb4_turkish_ci PRIMARY KEY);
		SET time_zone = 'Nowhere/Here'; CREATE EVENT tick ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM letters;
		SET sql_mode = 'ANSI_QUOTES,IGNORE_SPACE'; CREATE PROCEDURE p() SELECT 1; CREATE TABLE past (a int PRIMARY KEY) WITH SYSTEM VERSIONING`)
	words := altered(t, from.URL(src), "utf8mb4_turkish_ci", "utf8mb4_0900_ai_ci", "ANSI_QUOTES,IGNORE_SPACE", "TIME_TRUNCATE_FRACTIONAL")
	sides := []string{"--source", words, "--target", altered(t, to.URL(dst), "10.11.", "10.06.")}
	found = check(t, 10, sides, "collations-missing", "time-zones-missing", "sql-modes-missing", "versioned-tables", "older-target")
	wantText(t, found["collations-missing"].Msg, "utf8mb4_0900_ai_ci")
	wantText(t, found["time-zones-missing"].Msg, "Nowhere/Here")
	wantText(t, found["sql-modes-missing"].Msg, "TIME_TRUNCATE_FRACTIONAL")
	wantText(t, found["versioned-tables"].Msg, "past", "10.06.")
	wantText(t, mustExit(t, 10, append([]string{"run"}, sides...)...), "4 findings", "Nowhere/Here")
	// What is refused then is refused without the check too, and of an archive, before the target is touched.
	archive := t.TempDir() + "/archive"
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", archive)
	for _, args := range [][]string{{"run", "--no-check", "--source", from.URL(src), "--target", to.URL(dst)}, {"restore", "--from", archive, "--target", to.URL(dst)}} {
		wantText(t, mustExit(t, 10, args...), "Nowhere/Here", "tzinfo")
		untouchedMaria(t, to, dst)
	}
}

// checkMyPoorServer has a server that lacks much.
func checkMyPoorServer(t *testing.T) {
	from, to := mariaServers(t)
	poor := testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{"server-id": "7", "skip-log-bin": "", "local-infile": "0", "innodb-page-size": "4k",
		"lower-case-table-names": "1", "max-allowed-packet": "1M", "innodb-force-primary-key": "1", "default-time-zone": "+05:00"}})
	checkMyActivity(t, poor)
	src, dst := testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", poor)
	testbed.MariaSQL(t, poor, dst, "INSTALL SONAME 'ha_blackhole'; CREATE TABLE hole (a int) ENGINE=BLACKHOLE; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_USER='nobody', MASTER_PORT=1; START SLAVE SQL_THREAD; SET GLOBAL read_only = ON")
	testbed.MariaSQL(t, from, src, "CREATE TABLE Capital (a int); CREATE TABLE small (a int PRIMARY KEY)")
	sides := []string{"--source", from.URL(src), "--target", poor.URL(dst)}
	found := check(t, 10, sides, "local-infile-off", "target-read-only", "target-not-empty", "names-lowered", "primary-key-required", "target-replica", "name-case-differs", "settings-differ",
		"page-size-smaller")
	wantText(t, found["names-lowered"].Msg, "Capital")
	wantText(t, found["primary-key-required"].Msg, "Capital", "innodb_force_primary_key")
	wantText(t, found["settings-differ"].Msg, `time_zone "SYSTEM" and "+05:00"`, `max_allowed_packet "16777216" and "1048576"`)
	if strings.Contains(found["primary-key-required"].Msg, "small") {
		t.Error("a table with a primary key has none")
	}
	if _, ok := found["slow-binary-log"]; ok {
		t.Error("a binary log that is off is slow")
	}
	wantText(t, mustExit(t, 10, append([]string{"run"}, sides...)...), "5 findings", "local_infile", "read_only", "table hole", "Capital", "innodb_force_primary_key")
	// As the source.
	reader := grantee(t, poor, "", "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `"+dst+"`.*")
	target := testbed.MariaDatabase(t, "", to)
	found = check(t, 10, []string{"--source", poor.URLAs(reader, canary, dst), "--target", to.URL(target), "--jobs", "4"}, "no-binary-log", "single-session", "foreign-tables", "kinds-missing")
	wantText(t, found["kinds-missing"].Msg, "BLACKHOLE of table hole")
	found = check(t, 0, []string{"--source", poor.URLAs(reader, canary, dst), "--jobs", "1"}, "snapshot-by")
	wantText(t, found["snapshot-by"].Msg, "single-session")
	testbed.MariaSQL(t, poor, "", "GRANT LOCK TABLES ON `"+dst+"`.* TO `"+reader+"`@`%`")
	found = check(t, 0, []string{"--source", poor.URLAs(reader, canary, dst), "--jobs", "4"}, "snapshot-by")
	wantText(t, found["snapshot-by"].Msg, "lock-tables")
	testbed.MariaSQL(t, poor, "", "ALTER USER `"+reader+"`@`%` REQUIRE SSL")
	found = check(t, 12, []string{"--source", poor.URLAs(reader, canary, dst)}, "source-unreachable")
	wantText(t, found["source-unreachable"].Hint, "require_secure_transport", "sslmode=require")
}

// checkMyReach has sides that can't be asked: what is known of the other is told all the same.
func checkMyReach(t *testing.T) {
	from, to := mariaServers(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "mysql://u:" + canary + "@" + nobody.Addr().String() + "/x"
	_ = nobody.Close()
	src, dst := testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", to)
	check(t, 20, []string{"--source", from.URL(src), "--target", closed}, "target-unreachable", "database-size")
	check(t, 20, []string{"--source", closed, "--target", to.URL(dst)}, "source-unreachable", "slow-buffer-pool")
	check(t, 12, []string{"--source", from.URLAs(from.User(), canary, src), "--target", to.URL(dst)}, "source-unreachable", "slow-buffer-pool")
	check(t, 10, []string{"--source", from.URL("no_such_database")}, "source-unreachable")
	for _, f := range [][]string{{"--roles", "missing"}, {"--schema", "t"}, {"--definer", "@"}} {
		mustExit(t, 3, append([]string{"check", "--source", from.URL(src), "--target", to.URL(dst)}, f...)...)
	}
	via := t.TempDir() + "/a"
	if got := blocking(check(t, 0, []string{"--source", from.URL(src), "--target", to.URL(dst), "--via", via})); got != "" {
		t.Errorf("%s block", got)
	}
	if l, err := os.ReadDir(filepath.Dir(via)); err != nil || slices.ContainsFunc(l, func(e os.DirEntry) bool { return e.Name() == "a" }) {
		t.Errorf("the archive's folder was left (%v)", err)
	}
}
