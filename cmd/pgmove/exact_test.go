package main

import (
	"maps"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/pgmove/pgmove/internal/testbed"
)

// still is a server on which nothing happens by itself.
func still(t *testing.T) *testbed.Postgres {
	t.Helper()
	return testbed.OwnPostgres(t, testbed.PostgresOptions{Settings: map[string]string{"autovacuum": "off"}})
}

// TestResumeUnchanged: of a source that provably did not change nothing is read twice, and a restore that
// follows doesn't even notice.
func TestResumeUnchanged(t *testing.T) {
	t.Parallel()
	a, p := still(t), testbed.Shared(t, 0)
	src := testbed.Database(t, a)
	testbed.SQL(t, a, src, much)
	for _, via := range []bool{false, true} {
		dst := testbed.Database(t, p)
		args := []string{"run", "--source", a.URL(src), "--target", p.URL(dst), "--split-size", "100kB", "--keep-ledger"}
		if via {
			args = append(args, "--via", t.TempDir()+"/archive")
		}
		killed(t, "ledger.chunk:after:6", args...)
		before := ledger(t, p, dst)
		if out := mustExit(t, 0, append(args, "--resume")...); strings.Contains(out, "digested again") {
			t.Errorf("an unchanged source was digested again:\n%s", out)
		}
		after := ledger(t, p, dst)
		maps.DeleteFunc(after, func(chunk, at string) bool { return before[chunk] == "" })
		if !maps.Equal(before, after) || len(before) < 6 {
			t.Errorf("chunks were loaded again: %v, then %v", before, after)
		}
		testbed.MustBeEqual(t, a, src, p, dst)
	}
	dst, dir := testbed.Database(t, p), t.TempDir()+"/archive"
	done := beside(t, "restore", "--from", dir, "--wait", "--target", p.URL(dst))
	dump := []string{"dump", "--source", a.URL(src), "--to", dir, "--split-size", "100kB", "--resume"}
	for _, point := range []string{"archive.record:after:3", "archive.chunk:after:4", "archive.toc:before:1"} {
		killed(t, point, dump...)
	}
	mustExit(t, 0, dump...)
	if r := <-done; r.code != 0 {
		t.Fatalf("the restore that followed: exit code %d\n%s%s", r.code, r.out, r.errors)
	}
	testbed.MustBeEqual(t, a, src, p, dst)
	mustExit(t, 0, "verify", dir)
}

// TestResumeTwoSides: a dump that resumes under another snapshot is another run; the restore that followed it ends,
// and goes on with the new one.
func TestResumeTwoSides(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src, dst, dir := testbed.Database(t, p), testbed.Database(t, p), t.TempDir()+"/archive"
	testbed.SQL(t, p, src, much)
	restore := []string{"restore", "--from", dir, "--wait", "--target", p.URL(dst), "--keep-ledger"}
	done := beside(t, restore...)
	dump := []string{"dump", "--source", p.URL(src), "--to", dir, "--split-size", "100kB", "--resume", "--jobs", "1"}
	killed(t, "archive.record:after:12", dump...)
	for ledger(t, p, dst) == nil { // until the restore follows
		select {
		case r := <-done:
			t.Fatalf("the restore has ended: exit code %d\n%s%s", r.code, r.out, r.errors)
		case <-time.After(10 * time.Millisecond):
		}
	}
	testbed.SQL(t, p, src, change)
	mustExit(t, 0, dump...)
	r := <-done
	if r.code != 21 || !strings.Contains(r.errors, "--resume") {
		t.Fatalf("the restore that followed: exit code %d\n%s%s", r.code, r.out, r.errors)
	}
	if r := execute(t, nil, 0, append(restore, "--resume")...); r.code != 0 {
		t.Fatalf("resumed: exit code %d\n%s%s", r.code, r.out, r.errors)
	}
	testbed.MustBeEqual(t, p, src, p, dst)
}

// TestResumeElsewhere: an archive in a bucket, and one that is encrypted and authenticated, are gone on with as well.
func TestResumeElsewhere(t *testing.T) {
	s3 := testbed.SharedS3(t)
	useS3(t, s3)
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, much)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity, mac := secretFile(t, id.String()+"\n"), secretFile(t, "a secret of both sides\n")
	for name, via := range map[string][]string{
		"bucket":    {"--via", "s3://" + testbed.Bucket(t, s3) + "/some/prefix", "--s3-path-style"},
		"encrypted": {"--via", t.TempDir() + "/archive", "--encrypt-to", id.Recipient().String(), "--identity", identity, "--mac-key", mac},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := testbed.Database(t, p)
			args := append([]string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "200kB"}, via...)
			killed(t, "archive.record:after:6", args...)
			if r := execute(t, nil, 0, append(args, "--resume")...); r.code != 0 {
				t.Fatalf("resumed: exit code %d\n%s%s", r.code, r.out, r.errors)
			}
			testbed.MustBeEqual(t, p, src, p, dst)
		})
	}
}

// TestKilledAgain kills one run through a folder again and again, while it turns into another run.
func TestKilledAgain(t *testing.T) {
	p := testbed.Shared(t, 0)
	src, dst, dir := testbed.Database(t, p), testbed.Database(t, p), t.TempDir()+"/archive"
	testbed.SQL(t, p, src, much)
	args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "200kB", "--via", dir, "--resume"}
	for i, point := range []string{"archive.chunk:after:6", "archive.header:before:1", "archive.header:after:1", "archive.entries:after:1", "archive.plan:before:1",
		"archive.plan:after:1", "archive.record:after:2", "archive.chunk:after:3", "archive.toc:after:1"} {
		killed(t, point, args...)
		if i%2 == 0 {
			testbed.SQL(t, p, src, change)
		} else {
			testbed.SQL(t, p, src, "CREATE TEMP TABLE moves_the_numbers ()")
		}
	}
	// By now the archive may be sealed, and a sealed one stands for its own snapshot: the source has to stay as it is.
	for _, point := range []string{"ledger.resume:before:1", "ledger.resume:after:1", "ledger.chunk:after:5"} {
		killed(t, point, args...)
	}
	mustExit(t, 0, args...)
	testbed.MustBeEqual(t, p, src, p, dst)
	mustExit(t, 0, "verify", dir)
}
