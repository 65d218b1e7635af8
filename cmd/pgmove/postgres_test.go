package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestNonSuperuser moves as the owner of both databases, who is no superuser.
func TestNonSuperuser(t *testing.T) {
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	role := "boss_" + strings.Trim(src[:4], "t_") // no part of the databases' names
	testbed.SQL(t, p, "postgres", fmt.Sprintf(`CREATE ROLE %[1]s LOGIN PASSWORD 'owner''s:p@ss/word'; ALTER DATABASE %[2]s OWNER TO %[1]s; ALTER DATABASE %[3]s OWNER TO %[1]s`, role, src, dst))
	t.Cleanup(func() { _ = p.Exec(context.Background(), "postgres", "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	for _, db := range []string{src, dst} {
		testbed.SQL(t, p, db, "ALTER SCHEMA public OWNER TO "+role)
	}
	// The role's own settings would change values and stop long statements.
	testbed.SQL(t, p, "postgres", fmt.Sprintf("ALTER ROLE %s SET datestyle = 'SQL, DMY'; ALTER ROLE %[1]s SET statement_timeout = '20ms'; ALTER ROLE %[1]s SET timezone = 'Asia/Kathmandu'; ALTER ROLE %[1]s SET extra_float_digits = -5; ALTER ROLE %[1]s SET search_path = public", role))
	testbed.SQL(t, p, src, "SET ROLE "+role+";"+shop+`CREATE TABLE v (d date, f float8, t timestamptz);
		INSERT INTO v VALUES ('2024-03-04', 0.1::float8 + 0.2::float8, '2024-03-04 05:06:07+00');
		SELECT lo_from_bytea(0, 'mine')`)
	u := func(db string) string { return p.URLAs(role, "owner's:p@ss/word", db) }
	out := mustExit(t, 0, "run", "--source", u(src), "--target", u(dst))
	if strings.Contains(out, "p@ss") {
		t.Errorf("the output shows the password:\n%s", out)
	}
	testbed.MustBeEqual(t, p, src, p, dst)
}

// TestLargeObjects compares the contents of large objects of all awkward sizes, by
// the server's own means.
func TestLargeObjects(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, `SELECT lo_from_bytea(100000 + g, convert_to(repeat(chr(65 + g % 26), g), 'UTF8')) FROM generate_series(0, 1200) g;
		SELECT lo_from_bytea(1, decode(repeat('00ff5c0a', 65536), 'hex'));
		SELECT lo_from_bytea(2, decode(repeat('00ff5c0a', 65536), 'hex') || 'x');
		SELECT lo_create(3); SELECT lo_put(3, 700000, 'far beyond the end');
		COMMENT ON LARGE OBJECT 1 IS 'exactly one piece'; GRANT SELECT ON LARGE OBJECT 2 TO PUBLIC`)
	for _, via := range []string{"", "file://" + t.TempDir() + "/archive"} {
		dst := testbed.Database(t, p)
		args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst)}
		if via != "" {
			args = append(args, "--via", via)
		}
		mustExit(t, 0, args...)
		testbed.MustBeEqual(t, p, src, p, dst)
		n, err := p.Value(t.Context(), dst, "SELECT count(*) FROM pg_largeobject_metadata")
		if err != nil || n != "1204" {
			t.Errorf("%s large objects of 1204 (%v)", n, err)
		}
		testbed.SQL(t, p, dst, "SELECT lo_put(2, 5, 'y')")
		wantText(t, mustExit(t, 30, "validate", "--source", p.URL(src), "--target", p.URL(dst)), "large objects")
	}
}

// TestExclusiveLockInTheQueue: a VACUUM FULL that waits for the dump's locks must
// neither stop the dump for ever nor take rows from it.
func TestExclusiveLockInTheQueue(t *testing.T) {
	p, src, dst := shopDatabases(t)
	testbed.SQL(t, p, src, "DELETE FROM orders WHERE id % 3 = 0; REFRESH MATERIALIZED VIEW per_customer") // room for VACUUM FULL to move rows
	release := make(chan struct{})
	done := make(chan error, 1)
	// The vacuum asks for its lock as soon as the dump's coordinator holds its own.
	go func() {
		defer close(release)
		for {
			n, err := p.Value(t.Context(), src, "SELECT count(*) FROM pg_locks WHERE mode = 'AccessShareLock' AND granted AND relation = 'orders'::regclass")
			if err != nil || n != "0" {
				break
			}
			time.Sleep(time.Millisecond)
		}
		done <- p.Exec(t.Context(), src, "VACUUM FULL orders")
	}()
	out := mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "50kB")
	if err := <-done; err != nil {
		t.Errorf("VACUUM FULL: %v", err)
	}
	<-release
	testbed.MustBeEqual(t, p, src, p, dst)
	_ = out
}

// TestSourceInMotion: rows and tables that come after the snapshot are not moved,
// and raise no alarm.
func TestSourceInMotion(t *testing.T) {
	p, src, dst := shopDatabases(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			_ = p.Exec(ctx, src, fmt.Sprintf("INSERT INTO log VALUES (now(), 'new'); UPDATE customer SET balance = balance + 1 WHERE id = 1 + %d %% 2000; CREATE TABLE IF NOT EXISTS later_%d (a int)", n, n%5))
		}
		done <- n
	}()
	time.Sleep(50 * time.Millisecond)
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "50kB")
	cancel()
	if n := <-done; n < 5 {
		t.Errorf("only %d changes were made meanwhile", n)
	}
}

// TestChecksThatReadOtherTables: a CHECK may call a function that reads another table, or one
// that needs a search_path.
func TestChecksThatReadOtherTables(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, `CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small SELECT generate_series(1, 50);
		CREATE FUNCTION known(i int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT 1 FROM public.small WHERE id = i)';
		CREATE TABLE big (id int CHECK (known(id)), filler text); INSERT INTO big SELECT 1 + g % 50, repeat('x', 200) FROM generate_series(1, 5000) g;
		CREATE FUNCTION unqualified(i int) RETURNS bool LANGUAGE sql AS 'SELECT count(*) > 0 FROM small';
		CREATE TABLE needs_path (id int CHECK (unqualified(id))); INSERT INTO needs_path VALUES (1), (2);
		CREATE FUNCTION plus_one(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN one() + i; END $$;
		CREATE FUNCTION one() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
		CREATE INDEX by_plus_one ON small (plus_one(id));
		CREATE MATERIALIZED VIEW m AS SELECT plus_one(id) FROM small`)
	for _, via := range []string{"", "file://" + t.TempDir() + "/archive"} {
		dst := testbed.Database(t, p)
		args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "100kB"}
		if via != "" {
			args = append(args, "--via", via)
		}
		wantText(t, mustExit(t, 0, args...), "needs the source's search_path")
		testbed.MustBeEqual(t, p, src, p, dst)
	}
	// Rows that violate their CHECK can't be loaded, and end the run instead of going in circles.
	testbed.SQL(t, p, src, "DELETE FROM small WHERE id = 7")
	dst := testbed.Database(t, p)
	wantText(t, mustExit(t, 1, "run", "--source", p.URL(src), "--target", p.URL(dst)), "public.big", "23514")
}

// TestSelection moves a part, and compares that part.
func TestSelection(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	testbed.SQL(t, p, src, "CREATE TABLE alone (a int PRIMARY KEY, b text); INSERT INTO alone SELECT g, 'b' FROM generate_series(1, 100) g")
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--table", "log", "--table", "alone")
	public := testbed.Database(t, p)
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(public), "--schema", "public")
	testbed.MustBeEqual(t, p, src, p, public)
	testbed.SQL(t, p, src, "CREATE SCHEMA side; CREATE TABLE side.t (a int); INSERT INTO side.t VALUES (1)")
	side := testbed.Database(t, p)
	testbed.SQL(t, p, side, "CREATE SCHEMA side")
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(side), "--table", "side.t")
	unchecked := testbed.Database(t, p)
	wantText(t, mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(unchecked), "--no-schema-check"), "unverified: the schema")
	if n, err := p.Value(t.Context(), dst, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"); err != nil || n != "2" {
		t.Errorf("%s tables of 2 (%v)", n, err)
	}
}

// TestNoOwner restores an archive that has owners and privileges to a server without those roles.
func TestNoOwner(t *testing.T) {
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, shop+"CREATE ROLE gone_owner; ALTER TABLE log OWNER TO gone_owner; GRANT SELECT ON orders TO gone_owner")
	t.Cleanup(func() { _ = p.Exec(context.Background(), src, "DROP OWNED BY gone_owner; DROP ROLE gone_owner") })
	other := testbed.OwnPostgres(t, testbed.PostgresOptions{})
	dst := testbed.Database(t, other)
	dir := t.TempDir() + "/archive"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir)
	wantText(t, mustExit(t, 10, "restore", "--from", dir, "--target", other.URL(dst)), "gone_owner", "--no-owner")
	wantText(t, mustExit(t, 0, "restore", "--from", dir, "--target", other.URL(dst), "--no-owner", "--no-acl"), "schema entries compared")
	wantText(t, mustExit(t, 30, "validate", "--archive", dir, "--target", other.URL(dst)), "TABLE public.log belongs to postgres instead of gone_owner", "ACL public.TABLE orders is missing")
	mustExit(t, 0, "validate", "--archive", dir, "--target", other.URL(dst), "--no-owner", "--no-acl")
	direct := testbed.Database(t, other)
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", other.URL(direct), "--no-owner", "--no-acl")
}

// TestOldClient refuses a pg_dump that is older than the server.
func TestOldClient(t *testing.T) {
	t.Parallel()
	old, ok := testbed.ClientBin(testbed.DefaultMajor())
	majors := testbed.Majors()
	newest := majors[len(majors)-1]
	if !ok || newest <= testbed.DefaultMajor() {
		t.Logf("no server newer than %d is installed here", testbed.DefaultMajor())
		return
	}
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{Major: newest})
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	wantText(t, mustExit(t, 10, "run", "--source", p.URL(src), "--target", p.URL(dst), "--pg-bin", old),
		fmt.Sprintf("version %d or newer is needed", newest), "too old", old)
	untouched(t, p, dst)
}
