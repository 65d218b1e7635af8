package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// change is what a source's users may do while a run is down, without a change of the schema.
const change = `
UPDATE log SET line = 'changed' WHERE line = 'line 77';
INSERT INTO log VALUES (NULL, 'twice');
UPDATE customer SET balance = balance + 1 WHERE id = 7;
DELETE FROM orders WHERE id BETWEEN 100 AND 110;
INSERT INTO orders (customer, at, note) VALUES (1, '2026-05-05', 'late');
UPDATE parts SET k = k + 1 WHERE k = 5;
SELECT nextval('alone');
SELECT lo_put(4711, 0, 'small'), lo_truncate(lo_open(4711, 131072), 100);
REFRESH MATERIALIZED VIEW per_customer;
`

// killed runs a command that dies at a point.
func killed(t *testing.T, point string, args ...string) {
	t.Helper()
	if r := execute(t, faults(point), 0, args...); r.code != -1 {
		t.Fatalf("%s: it was never killed: exit code %d\n%s%s", point, r.code, r.out, r.errors)
	}
}

// TestResumeAfterChange: what changed while a run was down comes again, whatever is built on it, and nothing else does.
func TestResumeAfterChange(t *testing.T) {
	for _, c := range []struct {
		point string
		via   bool
	}{{"ledger.chunk:after:6", false}, {"ledger.finish:before:1", false}, {"archive.record:after:6", true}, {"archive.toc:before:1", true}} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			p := testbed.Shared(t, 0)
			src, dst := testbed.Database(t, p), testbed.Database(t, p)
			testbed.SQL(t, p, src, much+"CREATE TABLE still AS SELECT g FROM generate_series(1, 50000) g; CREATE INDEX ON still (g);")
			args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "200kB"}
			if c.via {
				args = append(args, "--via", t.TempDir()+"/archive")
			}
			killed(t, c.point, args...)
			before := ledger(t, p, dst)
			testbed.SQL(t, p, src, change)
			if v, err := p.Value(t.Context(), dst, "SELECT to_regclass('pgmove.run') IS NULL"); err != nil || v == "t" {
				// The dump was ahead of the restore, which had not yet begun: there is no ledger to take over.
				r := execute(t, nil, 0, append(args, "--resume")...)
				if err != nil || r.code != 0 {
					t.Fatalf("resumed: %v, exit code %d\n%s%s", err, r.code, r.out, r.errors)
				}
				testbed.MustBeEqual(t, p, src, p, dst)
				return
			}
			// Killed once more, after the ledger was taken over.
			killed(t, "ledger.resume:after:1", append(args, "--resume")...)
			testbed.SQL(t, p, src, "UPDATE log SET line = 'changed again' WHERE line = 'line 78'")
			r := execute(t, nil, 0, append(args, "--resume", "--keep-ledger")...)
			if r.code != 0 {
				t.Fatalf("resumed: exit code %d\n%s%s", r.code, r.out, r.errors)
			}
			wantText(t, r.out, "digested again", "equal")
			testbed.MustBeEqual(t, p, src, p, dst)
			if c.point != "ledger.finish:before:1" {
				return
			}
			kept := 0
			for chunk, at := range ledger(t, p, dst) {
				if before[chunk] == at {
					kept++
				}
			}
			if kept < 5 {
				t.Errorf("%d chunks were not loaded again, of a table that did not change", kept)
			}
		})
	}
}

// TestResumeRefused: what can't be gone on with ends in 21, and says what to do.
func TestResumeRefused(t *testing.T) {
	p := testbed.Shared(t, 0)
	src, other, dst := testbed.Database(t, p), testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, much)
	testbed.SQL(t, p, other, much)
	args := func(src string, more ...string) []string {
		return append([]string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--resume", "--split-size", "200kB"}, more...)
	}
	killed(t, "ledger.chunk:after:6", args(src)...)
	wantText(t, mustExit(t, 21, args(other)...), "another source", "start afresh")
	wantText(t, mustExit(t, 21, args(src, "--via", t.TempDir()+"/archive")...), "keeps no archive")
	wantText(t, mustExit(t, 3, args(src, "--schema", "public")...), "another selection")
	wantText(t, mustExit(t, 10, args(src)[:5]...), "did not finish", "--resume")
	wantText(t, mustExit(t, 21, args(src, "--snapshot", "000000F3-0000001B-1")...), "not held any more")
	wantText(t, mustExit(t, 3, args(src, "--snapshot", "1'; DROP TABLE log")...), "not the ID")
	testbed.SQL(t, p, src, "ALTER TABLE customer ADD COLUMN more int")
	wantText(t, mustExit(t, 21, args(src)...), "TABLE public.customer", "schema has changed", "start afresh")
	testbed.SQL(t, p, src, "ALTER TABLE customer DROP COLUMN more")
	mustExit(t, 0, args(src)...)
	testbed.MustBeEqual(t, p, src, p, dst)
}

// TestResumeBusy: while a process lives, if only frozen, no other one takes its run over.
func TestResumeBusy(t *testing.T) {
	p := testbed.Shared(t, 0)
	src, dst, dir := testbed.Database(t, p), testbed.Database(t, p), t.TempDir()+"/archive"
	testbed.SQL(t, p, src, shop+"INSERT INTO log SELECT now(), repeat('x', 200) FROM generate_series(1, 100000)")
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--via", dir, "--split-size", "200kB", "--compress", "gzip"}
	cmd := exec.CommandContext(t.Context(), file, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for len(ledger(t, p, dst)) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wantText(t, mustExit(t, 11, append(args, "--resume")...), "another")
	wantText(t, mustExit(t, 11, "restore", "--from", dir, "--wait", "--target", p.URL(dst), "--resume"), "another pgmove")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	mustExit(t, 0, append(args, "--resume")...)
	testbed.MustBeEqual(t, p, src, p, dst)
}

// holder is a pgmove snapshot --hold.
func holder(t *testing.T, url string) (id string, end func() int) {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file, "snapshot", "--hold", "--source", url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() int {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
	t.Cleanup(func() { end() })
	id, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(id), end
}

// TestHeldSnapshot: under a snapshot that is held, what a killed run had done stands whatever changes.
func TestHeldSnapshot(t *testing.T) {
	p := testbed.Shared(t, 0)
	src, same := testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, much)
	testbed.SQL(t, p, same, much)
	id, end := holder(t, p.URL(src))
	for _, via := range []bool{false, true} {
		dst := testbed.Database(t, p)
		args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "200kB", "--keep-ledger"}
		if via {
			args = append(args, "--via", t.TempDir()+"/archive")
		}
		killed(t, "ledger.chunk:after:6", append(args, "--snapshot", id)...)
		before := ledger(t, p, dst)
		testbed.SQL(t, p, src, strings.ReplaceAll(change, "SELECT nextval('alone');", ""))
		r := execute(t, nil, 0, append(args, "--resume")...)
		if r.code != 0 || strings.Contains(r.out, "digested again") {
			t.Fatalf("resumed: exit code %d\n%s%s", r.code, r.out, r.errors)
		}
		after := ledger(t, p, dst)
		for chunk, at := range before {
			if after[chunk] != at {
				t.Errorf("chunk %s was loaded again", chunk)
			}
		}
		// Sequences stand where they stand: no snapshot holds them.
		testbed.MustBeEqual(t, p, same, p, dst, "^sequence ")
	}
	// Without its holder a snapshot is gone, and the run goes on under another one.
	dst := testbed.Database(t, p)
	args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "200kB"}
	killed(t, "ledger.chunk:after:6", append(args, "--snapshot", id)...)
	if code := end(); code != 130 {
		t.Errorf("snapshot --hold ends with %d", code)
	}
	wantText(t, mustExit(t, 21, append(args, "--snapshot", id, "--resume")...), "not held any more")
	wantText(t, mustExit(t, 0, append(args, "--resume")...), "digested again")
	testbed.MustBeEqual(t, p, src, p, dst)
}

// TestForeignSnapshot: a snapshot that has no locks is refused: what is truncated under it reads as empty.
func TestForeignSnapshot(t *testing.T) {
	p, src, dst := shopDatabases(t)
	rows := make(chan string, 1)
	go func() {
		_, _ = p.Query(t.Context(), src, "BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE TABLE exported AS SELECT pg_export_snapshot() AS id; SELECT pg_sleep(5)")
	}()
	go func() {
		for {
			// No row is an error.
			if v, _ := p.Value(t.Context(), src, "SELECT name FROM pg_ls_dir('pg_snapshots') name LIMIT 1"); v != "" || t.Context().Err() != nil {
				rows <- v
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	wantText(t, mustExit(t, 10, "run", "--source", p.URL(src), "--target", p.URL(dst), "--snapshot", <-rows), "not held by pgmove")
}
