package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestTargetRestarts restarts the target's server in the middle of the rows. In order nothing is lost, and the run ends well by
// itself; at once the last commits may be lost, which is told and then resumed.
func TestTargetRestarts(t *testing.T) {
	side := newSideBySide(t)
	defer side.wait()
	for _, c := range []struct {
		name  string
		mode  testbed.StopMode
		codes []int
	}{{"fast", testbed.Fast, []int{0}}, {"immediate", testbed.Immediate, []int{0, 20}}, {"crash", testbed.Crash, []int{0, 20}}} {
		side.run(c.name, func(t *testing.T) {
			b := testbed.OwnPostgres(t, testbed.PostgresOptions{})
			f := faultBedOn(t, testbed.Shared(t, 0), b, much)
			f.beside = true
			f.from.Toxic(t, "bandwidth", "downstream", map[string]any{"rate": 2000})
			wait := f.start()
			for n := 2; n <= 8 && !f.ended(); n += 6 {
				f.untilOrEnd(b, f.dst, takenChunks(n))
				if err := b.Restart(t.Context(), c.mode); err != nil {
					t.Fatal(err)
				}
			}
			code := wait()
			f.must(code, c.codes...)
			if code != 0 {
				wantText(t, f.out, "lost", "--resume")
				f.resume()
			} else {
				wantText(t, f.out, "again")
			}
			f.oracle()
		})
	}
}

// TestUnloggedCrash: a crash of the target empties unlogged tables that were loaded. That is noticed without a look at them.
func TestUnloggedCrash(t *testing.T) {
	b := testbed.OwnPostgres(t, testbed.PostgresOptions{})
	f := faultBedOn(t, testbed.Shared(t, 0), b, much+"CREATE UNLOGGED TABLE fleeting AS SELECT g FROM generate_series(1, 100) g")
	args := f.args("--validate", "none")
	killed(t, "ledger.finish:before:1", args...)
	if err := b.Restart(t.Context(), testbed.Fast); err != nil { // nothing is lost
		t.Fatal(err)
	}
	killed(t, "ledger.finish:before:1", append(args, "--resume")...)
	if err := b.Restart(t.Context(), testbed.Immediate); err != nil {
		t.Fatal(err)
	}
	wantText(t, mustExit(t, 21, append(args, "--resume")...), "unlogged tables are empty", "start afresh")
}

// TestRoleTimeouts: what is set on roles and databases, in order to end what takes long, ends nothing of ours.
func TestRoleTimeouts(t *testing.T) {
	f := newFaultBed(t, much)
	role := "hasty_" + strings.ToLower(strings.Trim(f.src[len(f.src)-6:], "_"))
	settings := map[string]string{"statement_timeout": "15ms", "lock_timeout": "1ms", "idle_in_transaction_session_timeout": "5ms"}
	if f.a.Major() >= 14 {
		settings["idle_session_timeout"] = "500ms"
	}
	if f.a.Major() >= 17 {
		settings["transaction_timeout"] = "15ms"
	}
	set := func(who string) {
		t.Helper()
		for _, k := range slices.Sorted(maps.Keys(settings)) { // pg_dump prints them in the order in which they were set
			testbed.SQL(t, f.a, "postgres", fmt.Sprintf("ALTER ROLE %s SET %s = '%s'", who, k, settings[k]))
		}
	}
	testbed.SQL(t, f.a, "postgres", fmt.Sprintf("CREATE ROLE %s SUPERUSER LOGIN PASSWORD 'hasty'", role))
	t.Cleanup(func() { _ = f.a.Exec(context.Background(), "postgres", "DROP ROLE "+role) })
	set(role)
	set(role + " IN DATABASE " + f.src)
	for _, via := range []string{"", t.TempDir() + "/archive"} {
		dst := testbed.Database(t, f.a)
		set(role + " IN DATABASE " + dst)
		args := []string{"run", "--source", f.a.URLAs(role, "hasty", f.src), "--target", f.a.URLAs(role, "hasty", dst), "--split-size", "200kB"}
		if via != "" {
			args = append(args, "--via", via)
		}
		mustExit(t, 0, args...)
		testbed.MustBeEqual(t, f.a, f.src, f.a, dst)
	}
}

// tmpfs mounts a small disk that all may write to, and returns what changes its size.
func tmpfs(t *testing.T, size string) (dir string, resize func(string)) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755) // the server's user must get there
	}
	mount := func(options string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "mount", append([]string{"-o", options}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("a full disk needs root, to mount a small one: %v\n%s", err, out)
		}
	}
	mount("mode=1777,size="+size, "-t", "tmpfs", "pgmove", dir)
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return dir, func(size string) { mount("remount,size="+size, dir) }
}

// TestTargetFull has the target's tablespace run full: an error that says so, and a resume once there is room.
func TestTargetFull(t *testing.T) {
	dir, resize := tmpfs(t, "16m")
	b := testbed.OwnPostgres(t, testbed.PostgresOptions{})
	owner, err := os.Stat(b.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	place := filepath.Join(dir, "space")
	id := owner.Sys().(*syscall.Stat_t)
	if err := errors.Join(os.Mkdir(place, 0o700), os.Chown(place, int(id.Uid), int(id.Gid))); err != nil {
		t.Fatal(err)
	}
	testbed.SQL(t, b, "postgres", fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", place))
	f := faultBedOn(t, testbed.Shared(t, 0), b, much+"INSERT INTO log SELECT now(), repeat('long ', 60) || g FROM generate_series(1, 30000) g")
	f.dst = testbed.DatabaseWith(t, b, "TABLESPACE small")
	f.must(f.start()(), 20)
	wantText(t, f.out, "53100", "No space left on device", "make room", "--resume")
	f.nothingLeft()
	resize("200m")
	f.resume()
	testbed.MustBeEqual(t, f.a, f.src, f.b, f.dst, "CREATE DATABASE") // which names its tablespace
	f.nothingLeft()
}

// TestClientFull has the disk of an archive run full.
func TestClientFull(t *testing.T) {
	dir, resize := tmpfs(t, "400k")
	f := newFaultBed(t, much)
	f.via = dir + "/archive"
	f.must(f.start()(), 20)
	wantText(t, f.out, "no space is left on the disk", "--resume")
	f.nothingLeft()
	resize("100m")
	f.resume()
	f.oracle()
	mustExit(t, 0, "verify", f.via)
}

// TestSourceBusy writes, alters, truncates and drops on the source while it is read: what arrives is the snapshot.
func TestSourceBusy(t *testing.T) {
	f := newFaultBed(t, much)
	before := testbed.DatabaseWith(t, f.a, "TEMPLATE "+f.src)
	f.from.Toxic(t, "bandwidth", "downstream", map[string]any{"rate": 2000})
	wait := f.start()
	f.until(f.a, f.src, "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessShareLock' AND granted AND relation = 'log'::regclass")
	f.until(f.b, f.dst, takenChunks(1))
	// What needs an exclusive lock waits for the end of the reading.
	done := make(chan error, 5)
	for _, sql := range []string{"DROP TABLE parts", "TRUNCATE log", "ALTER TABLE customer ADD COLUMN added int DEFAULT 7", "VACUUM FULL orders",
		"INSERT INTO orders (customer, at) SELECT 1, now() FROM generate_series(1, 500); DELETE FROM customer WHERE id NOT IN (SELECT customer FROM orders); CREATE TABLE newcomer (a int); SELECT nextval('alone')"} {
		go func() { done <- f.a.Exec(t.Context(), f.src, sql) }()
	}
	f.must(wait(), 0)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	// Sequences are of no snapshot.
	testbed.MustBeEqual(t, f.a, before, f.b, f.dst, "sequence", "setval")
	f.src = before
	f.nothingLeft()
}

// TestDirtySource: rows that the source's own constraints forbid are named, and nothing passes for well moved.
func TestDirtySource(t *testing.T) {
	f := newFaultBed(t, tiny+`
		SET session_replication_role = replica; INSERT INTO orders VALUES (5000, 999, 'nobody'); SET session_replication_role = DEFAULT;
		CREATE TABLE twins (a int, b text); CREATE UNIQUE INDEX twins_a ON twins (a);
		UPDATE pg_index SET indisready = false WHERE indexrelid = 'twins_a'::regclass;`)
	testbed.SQL(t, f.a, f.src, "INSERT INTO twins VALUES (1, 'x'), (1, 'y')")
	testbed.SQL(t, f.a, f.src, "UPDATE pg_index SET indisready = true WHERE indexrelid = 'twins_a'::regclass")
	f.must(f.start("--on-error", "continue")(), 1)
	wantText(t, f.out, "2 entries failed", "orders_customer_fkey", "23503", "twins_a", "23505")
	f.nothingLeft()
}
