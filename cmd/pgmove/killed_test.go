package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// much is shop and what makes a resume hard: tables without a key, equal rows, partitions, large
// objects, sequences that no table owns, a trigger and a foreign key to what comes again.
const much = shop + `
INSERT INTO log SELECT timestamptz '2026-01-01 00:00:00+00' + g * interval '1 second', 'line ' || g FROM generate_series(1, 9500) g;
CREATE TABLE parts (k int, v text) PARTITION BY HASH (k);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT g, 'part ' || g FROM generate_series(1, 6000) g;
CREATE INDEX ON parts (k);
CREATE SEQUENCE alone START 41 INCREMENT 7;
SELECT nextval('alone');
COMMENT ON CONSTRAINT orders_customer_fkey ON orders IS 'who bought it';
GRANT SELECT ON orders TO PUBLIC;
SELECT lo_from_bytea(4711, convert_to(repeat('large ', 100000), 'UTF8')), lo_from_bytea(4712, '');
`

// faults are the environment that kills pgmove at a point.
func faults(point string) []string { return []string{"PGMOVE_FAULT=" + point} }

// execute runs the compiled pgmove, for at most limit (0 for ever): then it is killed. The code is -1 where it was.
func execute(t *testing.T, env []string, limit time.Duration, args ...string) result {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), file, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if limit > 0 {
		timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	_ = cmd.Wait() // how it ended stands in its exit code
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ledger returns when each chunk was taken, nil where there is no ledger.
func ledger(t *testing.T, p *testbed.Postgres, db string) map[string]string {
	t.Helper()
	if there, err := p.Value(t.Context(), db, "SELECT to_regclass('pgmove.taken') IS NOT NULL"); err != nil || there != "t" {
		return nil
	}
	rows, err := p.Query(t.Context(), db, "SELECT id || ' ' || part, at FROM pgmove.taken WHERE part >= 0")
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for _, r := range rows {
		at[r[0]] = r[1]
	}
	return at
}

// killAndResume kills a command at a point, resumes it until it ends, and asks the oracle. What the ledger
// had must not have been loaded again.
func killAndResume(t *testing.T, p *testbed.Postgres, src, dst, point string, args ...string) {
	t.Helper()
	args = append(args, "--keep-ledger", "--jobs", "2")
	if !strings.HasPrefix(point, "ledger.resume") {
		if r := execute(t, faults(point), 0, args...); r.code != -1 {
			t.Fatalf("%s: it was never killed: exit code %d\n%s%s", point, r.code, r.out, r.errors)
		}
	} else {
		if r := execute(t, faults("ledger.chunk:after:3"), 0, args...); r.code != -1 {
			t.Fatalf("it was never killed: exit code %d\n%s%s", r.code, r.out, r.errors)
		}
		if r := execute(t, faults(point), 0, append(args, "--resume")...); r.code != -1 {
			t.Fatalf("%s: it was never killed: exit code %d\n%s%s", point, r.code, r.out, r.errors)
		}
	}
	before := ledger(t, p, dst)
	if len(before) > 0 {
		if r := execute(t, nil, 0, args...); r.code != 10 || !strings.Contains(r.errors, "--resume") {
			t.Errorf("without --resume: exit code %d\n%s", r.code, r.errors)
		}
	}
	if r := execute(t, nil, 0, append(args, "--resume")...); r.code != 0 {
		t.Fatalf("%s: resumed: exit code %d\n%s%s", point, r.code, r.out, r.errors)
	}
	after := ledger(t, p, dst)
	for chunk, at := range before {
		if after[chunk] != at {
			// A table of which something was missing comes again whole where the snapshot is another one.
			if whole(before, after, chunk) {
				t.Errorf("%s: chunk %s was loaded at %s and again at %s", point, chunk, at, after[chunk])
			}
		}
	}
	testbed.MustBeEqual(t, p, src, p, dst)
}

// whole reports whether all chunks of a chunk's table are in before that are in after.
func whole(before, after map[string]string, chunk string) bool {
	table, _, _ := strings.Cut(chunk, " ")
	for c := range maps.Keys(after) {
		if _, ok := before[c]; !ok && strings.HasPrefix(c, table+" ") {
			return false
		}
	}
	return true
}

// TestKilledAtLedger kills a direct run before and after each kind of the ledger's writes.
func TestKilledAtLedger(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, much)
	for _, point := range []string{"ledger.prepare:before:1", "ledger.prepare:after:1", "ledger.exec:before:1", "ledger.exec:after:1",
		"ledger.exec:before:3", "ledger.exec:after:4", "ledger.chunk:before:1", "ledger.chunk:after:1", "ledger.chunk:before:5", "ledger.chunk:after:9",
		"ledger.exec:after:6", "ledger.resume:before:1", "ledger.resume:after:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dst := testbed.Database(t, p)
			killAndResume(t, p, src, dst, point, "run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "200kB")
		})
	}
}

// TestKilledAtTheEnd kills a run before and after the ledger is dropped; to resume what had ended verifies it.
func TestKilledAtTheEnd(t *testing.T) {
	t.Parallel()
	p, src, _ := shopDatabases(t)
	for _, point := range []string{"ledger.finish:before:1", "ledger.finish:after:1"} {
		dst := testbed.Database(t, p)
		args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "200kB"}
		if r := execute(t, faults(point), 0, args...); r.code != -1 {
			t.Fatalf("%s: it was never killed: exit code %d\n%s%s", point, r.code, r.out, r.errors)
		}
		mustExit(t, 0, append(args, "--resume")...)
		mustExit(t, 0, append(args, "--resume")...) // a verified no-op
		testbed.MustBeEqual(t, p, src, p, dst)
		if there := ledger(t, p, dst); there != nil {
			t.Errorf("%s: the ledger is still there", point)
		}
		testbed.SQL(t, p, dst, "DELETE FROM log WHERE ctid = '(0,1)'")
		wantText(t, mustExit(t, 10, append(args, "--resume")...), "not empty", "public.log has 499 rows")
		mustExit(t, 10, args...)
	}
	// With nothing to resume it begins.
	dst := testbed.Database(t, p)
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--resume")
	testbed.MustBeEqual(t, p, src, p, dst)
}

// TestKilledAtArchive kills a run through a folder before and after each of the archive's writes.
func TestKilledAtArchive(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, much)
	bin, ok := testbed.ClientBin(testbed.DefaultMajor())
	if !ok {
		t.Fatal("no pg_restore")
	}
	for i, point := range []string{"archive.heartbeat:before:1", "archive.heartbeat:after:1", "archive.header:before:1", "archive.header:after:1",
		"archive.entries:before:1", "archive.entries:after:1", "archive.plan:before:1", "archive.plan:after:1", "archive.chunk:before:1", "archive.chunk:after:1",
		"archive.chunk:before:6", "archive.record:before:1", "archive.record:after:7", "archive.toc:before:1", "archive.toc:after:2",
		"archive.manifest:before:1", "archive.manifest:after:1", "ledger.chunk:before:3", "ledger.exec:after:4"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dst, dir := testbed.Database(t, p), t.TempDir()+"/archive"
			killAndResume(t, p, src, dst, point, "run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "200kB", "--via", dir, "--compress", "gzip")
			mustExit(t, 0, "verify", dir)
			if i%4 == 0 {
				stock := testbed.Database(t, p)
				cmd := exec.CommandContext(t.Context(), bin+"/pg_restore", "-j2", "--exit-on-error", "-d", p.URL(stock), dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("pg_restore: %v\n%s", err, out)
				}
				testbed.MustBeEqual(t, p, src, p, stock)
			}
		})
	}
}

// TestKilledRestore kills restores of a sealed archive, and dumps.
func TestKilledRestore(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, much)
	dir := t.TempDir() + "/archive"
	dump := []string{"dump", "--source", p.URL(src), "--to", dir, "--split-size", "200kB"}
	for _, point := range []string{"archive.plan:before:1", "archive.record:after:4", "archive.manifest:before:1"} {
		args := dump
		if point != "archive.plan:before:1" {
			args = append(dump, "--resume")
		}
		if r := execute(t, faults(point), 0, args...); r.code != -1 {
			t.Fatalf("%s: it was never killed: exit code %d\n%s%s", point, r.code, r.out, r.errors)
		}
	}
	wantText(t, mustExit(t, 10, dump...), "never finished", "--resume")
	mustExit(t, 0, append(dump, "--resume")...)
	wantText(t, mustExit(t, 0, append(dump, "--resume")...), "nothing was dumped")
	for _, point := range []string{"ledger.prepare:after:1", "ledger.chunk:before:2", "ledger.chunk:after:8", "ledger.exec:after:3", "ledger.resume:after:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dst := testbed.Database(t, p)
			killAndResume(t, p, src, dst, point, "restore", "--from", dir, "--target", p.URL(dst))
			// Another archive has no business there.
			other := fmt.Sprintf("%s/other", t.TempDir())
			if point == "ledger.exec:after:3" {
				mustExit(t, 0, "dump", "--source", p.URL(src), "--to", other)
				wantText(t, mustExit(t, 21, "restore", "--from", other, "--target", p.URL(dst), "--resume"), "of another run")
			}
		})
	}
}
