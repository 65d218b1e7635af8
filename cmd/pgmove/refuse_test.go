package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// untouched fails the test unless the target is as empty as it was.
func untouched(t *testing.T, p *testbed.Postgres, db string) {
	t.Helper()
	n, err := p.Value(t.Context(), db, `SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
		+ (SELECT count(*) FROM pg_namespace WHERE nspname = 'pgmove')`)
	if err != nil {
		t.Fatal(err)
	}
	if n != "0" {
		t.Errorf("the target was touched: %s objects", n)
	}
}

// canary is the password of URLs that are meant to fail: no output may show it.
const canary = "canary-PASSWORD-4711"

func TestRefusals(t *testing.T) {
	p, src, _ := shopDatabases(t)
	role := "role_" + src
	testbed.SQL(t, p, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", role, canary))
	t.Cleanup(func() { _ = p.Exec(t.Context(), "postgres", "DROP ROLE "+role) })
	locked := testbed.Database(t, p)
	testbed.SQL(t, p, locked, fmt.Sprintf("CREATE TABLE hidden (a int); CREATE TABLE guarded (a int); INSERT INTO guarded VALUES (1); GRANT SELECT ON guarded TO %s; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY", role))
	guarded := testbed.Database(t, p)
	testbed.SQL(t, p, guarded, fmt.Sprintf("CREATE TABLE guarded (a int); GRANT SELECT ON guarded TO %s; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY", role))
	full := testbed.Database(t, p)
	testbed.SQL(t, p, full, "CREATE TABLE here (a int)")
	owned := testbed.Database(t, p)
	testbed.SQL(t, p, owned, "CREATE ROLE gone_"+src+"; CREATE TABLE t (a int); ALTER TABLE t OWNER TO gone_"+src)
	t.Cleanup(func() {
		_ = p.Exec(t.Context(), owned, "DROP OWNED BY gone_"+src)
		_ = p.Exec(t.Context(), owned, "DROP ROLE gone_"+src)
	})
	other := testbed.OwnPostgres(t, testbed.PostgresOptions{}) // has none of these roles
	otherDB := testbed.Database(t, other)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().String()
	_ = nobody.Close()
	empty := t.TempDir()
	notArchive := t.TempDir()
	if err := os.WriteFile(filepath.Join(notArchive, "letter.txt"), []byte("Dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	dst := testbed.Database(t, p)
	for _, c := range []struct {
		name string
		code int
		args []string
		want []string
	}{
		{"unreachable", 20, []string{"run", "--source", "postgres://u:" + canary + "@" + closed + "/x", "--target", p.URL(dst)}, []string{closed, "hint"}},
		{"unknown host", 20, []string{"run", "--source", "postgres://u:" + canary + "@no-such-host.invalid/x", "--target", p.URL(dst)}, []string{"no-such-host.invalid"}},
		{"wrong password", 12, []string{"run", "--source", p.URLAs("postgres", canary, src), "--target", p.URL(dst)}, []string{"password", "28P01"}},
		{"no database", 10, []string{"run", "--source", p.URL("no_such_database"), "--target", p.URL(dst)}, []string{"no_such_database", "create the database"}},
		{"no target database", 10, []string{"run", "--source", p.URL(src), "--target", p.URL("no_such_database")}, []string{"no_such_database"}},
		{"no pg_dump", 10, []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--pg-bin", empty}, []string{"pg_dump is missing", empty, "or newer"}},
		{"target not empty", 10, []string{"run", "--source", p.URL(src), "--target", p.URL(full)}, []string{"public.here"}},
		{"no rights", 12, []string{"run", "--source", p.URLAs(role, canary, locked), "--target", p.URL(dst)}, []string{"guarded"}},
		{"row security", 12, []string{"run", "--source", p.URLAs(role, canary, guarded), "--target", p.URL(dst)}, []string{"public.guarded", "BYPASSRLS"}},
		{"missing role", 10, []string{"run", "--source", p.URL(owned), "--target", other.URL(otherDB)}, []string{"gone_" + src, "--no-owner"}},
		{"not an archive", 31, []string{"restore", "--from", notArchive, "--target", p.URL(dst)}, []string{"not an archive"}},
		{"empty folder", 31, []string{"restore", "--from", empty, "--target", p.URL(dst)}, []string{"not an archive"}},
		{"no folder", 10, []string{"restore", "--from", empty + "/gone", "--target", p.URL(dst)}, []string{"gone"}},
		{"no source", 3, []string{"run", "--target", p.URL(dst)}, []string{"--source is missing"}},
		{"bad URL", 3, []string{"run", "--source", "postgres://u:" + canary + "@h:99999999/x", "--target", p.URL(dst)}, nil},
		{"unknown flag", 3, []string{"run", "--frobnicate"}, []string{"frobnicate"}},
		{"unknown command", 3, []string{"frobnicate"}, []string{"frobnicate"}},
		{"bad size", 3, []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "many"}, []string{"split-size"}},
		{"bad level", 3, []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--validate", "some"}, []string{"none, count, digest or rows"}},
		{"bad location", 3, []string{"dump", "--source", p.URL(src), "--to", "ftp://x/y"}, []string{"file:///folder"}},
		{"no such table", 10, []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--table", "nope"}, []string{"no matching"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := mustExit(t, c.code, c.args...)
			wantText(t, out, c.want...)
			if strings.Contains(out, canary) || strings.Contains(out, p.Password()) {
				t.Errorf("the output shows a password:\n%s", out)
			}
			untouched(t, p, dst)
			untouched(t, other, otherDB)
		})
	}
}

func TestRefusesMissingBucket(t *testing.T) {
	p, src, dst := shopDatabases(t)
	s3 := testbed.SharedS3(t)
	for _, kv := range s3.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	wantText(t, mustExit(t, 10, "run", "--source", p.URL(src), "--target", p.URL(dst), "--via", "s3://no-such-bucket/x", "--s3-path-style"), "no-such-bucket")
	untouched(t, p, dst)
	t.Setenv("AWS_SECRET_ACCESS_KEY", canary)
	bucket := testbed.Bucket(t, s3)
	out := mustExit(t, 12, "run", "--source", p.URL(src), "--target", p.URL(dst), "--via", "s3://"+bucket+"/x", "--s3-path-style")
	if strings.Contains(out, canary) {
		t.Errorf("the output shows a secret:\n%s", out)
	}
	untouched(t, p, dst)
}

// TestFailedEntryIsNamed restores an index that cannot be built.
func TestFailedEntryIsNamed(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	// A unique index over rows that are not unique: the index is corrupt on the source.
	testbed.SQL(t, p, src, `CREATE TABLE dup (a int); INSERT INTO dup VALUES (1), (1);
		CREATE INDEX dup_a ON dup (a); UPDATE pg_index SET indisunique = true WHERE indexrelid = 'dup_a'::regclass`)
	out := mustExit(t, 1, "run", "--source", p.URL(src), "--target", p.URL(dst))
	wantText(t, out, "INDEX public.dup_a", "CREATE UNIQUE INDEX dup_a", "could not create unique index", "23505")
	again := testbed.Database(t, p)
	out = mustExit(t, 1, "run", "--source", p.URL(src), "--target", p.URL(again), "--on-error", "continue")
	wantText(t, out, "1 entries failed", "INDEX public.dup_a")
	// All else arrived.
	if n, err := p.Value(t.Context(), again, "SELECT count(*) FROM orders"); err != nil || n != "20000" {
		t.Errorf("orders has %s rows (%v)", n, err)
	}
	wantText(t, mustExit(t, 10, "run", "--source", p.URL(src), "--target", p.URL(again)), "did not finish")
}

// TestSecondRunIsRefused holds the ledger's lock as another run does.
func TestSecondRunIsRefused(t *testing.T) {
	p, src, dst := shopDatabases(t)
	c := connect(t, p.URL(dst))
	if err := c.Exec(t.Context(), "SELECT pg_advisory_lock(hashtext('pgmove'), hashtext('ledger'))").Close(); err != nil {
		t.Fatal(err)
	}
	wantText(t, mustExit(t, 11, "run", "--source", p.URL(src), "--target", p.URL(dst)), "another pgmove")
	untouched(t, p, dst)
}

// TestDamagedArchive flips one byte in the middle of each object of an archive.
func TestDamagedArchive(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	dir := t.TempDir() + "/archive"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) == "heartbeat.json" || strings.Contains(path, "/chunks/") {
			return err // these two are for those who follow
		}
		good, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		bad := append([]byte(nil), good...)
		bad[len(bad)/2] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			return err
		}
		out := mustExit(t, 31, "restore", "--from", dir, "--target", p.URL(dst))
		wantText(t, out, "dump again")
		if err := os.WriteFile(path, good, 0o600); err != nil {
			return err
		}
		return p.Exec(t.Context(), dst, "DROP SCHEMA IF EXISTS pgmove CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	})
	if err != nil {
		t.Fatal(err)
	}
	mustExit(t, 0, "restore", "--from", dir, "--target", p.URL(testbed.Database(t, p)))
}
