package main

import (
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestClean refreshes a target, again and again.
func TestClean(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, much+chain+`CREATE SCHEMA side; CREATE SCHEMA ext; CREATE EXTENSION pg_trgm SCHEMA ext; CREATE TYPE side.kind AS ENUM ('a');
		CREATE TABLE side.t (k side.kind, m mood); CREATE VIEW side.v AS SELECT c.*, count(*) FROM customer c GROUP BY c.id;
		CREATE STATISTICS stat ON k, v FROM parts; CREATE PUBLICATION pub FOR TABLE orders; ALTER TABLE side.t ENABLE ROW LEVEL SECURITY;
		CREATE POLICY pol ON side.t USING (true); CREATE RULE ru AS ON DELETE TO log DO INSTEAD NOTHING`)
	args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--clean"}
	mustExit(t, 0, args...) // an empty one is fine too
	wantText(t, mustExit(t, 0, args...), "--clean replaces 13 tables")
	testbed.MustBeEqual(t, p, src, p, dst)

	// Both sides have changed.
	testbed.SQL(t, p, src, `ALTER TABLE orders ADD more int; DROP TABLE parts; CREATE TABLE fresh (a int); INSERT INTO fresh VALUES (1);
		UPDATE customer SET balance = 1; SELECT lo_put(4711, 0, 'changed'); DROP VIEW side.v; ALTER TYPE mood ADD VALUE 'new'`)
	testbed.SQL(t, p, dst, "DELETE FROM orders; ALTER TABLE side.t ADD junk int; SELECT lo_unlink(4712), lo_from_bytea(4713, 'its own'); CREATE TABLE mine (a int)")
	wantText(t, mustExit(t, 10, args...), "view side.v depends on")
	testbed.SQL(t, p, dst, "DROP VIEW side.v")
	out := mustExit(t, 0, args...)
	wantText(t, out, "TABLE public.parts is on the target but not on the source: it was left", "TABLE public.mine", "LARGE OBJECT 4713")
	testbed.SQL(t, p, dst, "DROP TABLE parts, mine; SELECT lo_unlink(4713)")
	testbed.MustBeEqual(t, p, src, p, dst)

	// What else would go is named, and nothing goes.
	for i, c := range []struct{ make, undo, want string }{
		{"CREATE INDEX extra ON orders (note)", "DROP INDEX extra", "INDEX public.extra"},
		{"CREATE VIEW over AS SELECT * FROM orders", "DROP VIEW over", "view public.over depends on table public.orders"},
		{"CREATE TABLE refers (o bigint REFERENCES orders)", "DROP TABLE refers", "refers_o_fkey on table public.refers depends on"},
		{"CREATE TABLE leaf_3 PARTITION OF leaf FOR VALUES FROM (20000) TO (30000)", "ALTER TABLE leaf DETACH PARTITION leaf_3; DROP TABLE leaf_3", "TABLE public.leaf_3"},
		{"CREATE TABLE side.extra (a int)", "DROP TABLE side.extra", "table side.extra depends on schema side"},
		{"CREATE TRIGGER extra BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION touch()", "DROP TRIGGER extra ON log", "TRIGGER public.log extra"},
		{"CREATE PUBLICATION extra FOR TABLE log", "DROP PUBLICATION extra", "PUBLICATION TABLE public.extra log"},
		{"CREATE TABLE uses (m mood)", "DROP TABLE uses", "column m of table public.uses depends on type public.mood"},
		{"ALTER TABLE fresh RENAME TO stale; CREATE VIEW fresh AS SELECT 1", "DROP VIEW fresh; ALTER TABLE stale RENAME TO fresh", "not a table"},
	} {
		testbed.SQL(t, p, dst, c.make)
		how := []string{"--dry-run"}
		if i%4 == 0 {
			how = nil
		}
		wantText(t, mustExit(t, 10, append(args, how...)...), c.want)
		testbed.SQL(t, p, dst, c.undo)
	}
	mustExit(t, 0, append(args, "--dry-run")...)
	testbed.MustBeEqual(t, p, src, p, dst)

	// Killed while it cleans, nothing has changed; killed later, it resumes.
	killed(t, "clean:dropped:1", args...)
	testbed.MustBeEqual(t, p, src, p, dst)
	for _, point := range []string{"ledger.prepare:after:1", "ledger.chunk:after:3"} {
		killed(t, point, args...)
		mustExit(t, 0, append(args, "--resume")...)
		testbed.MustBeEqual(t, p, src, p, dst)
	}
	// Another run, unfinished, gives way to a new one.
	killed(t, "ledger.exec:after:3", args...)
	dir := t.TempDir() + "/a"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir)
	wantText(t, mustExit(t, 0, "restore", "--from", dir, "--target", p.URL(dst), "-c"), "what an unfinished run left")
	testbed.MustBeEqual(t, p, src, p, dst)

	// A part of it.
	testbed.SQL(t, p, dst, "CREATE TABLE mine (a int); INSERT INTO mine VALUES (1); DELETE FROM log")
	mustExit(t, 0, append(args, "--table", "log", "--no-schema-check")...)
	testbed.SQL(t, p, dst, "DROP TABLE mine")
	testbed.MustBeEqual(t, p, src, p, dst)
}

// TestCleanBusy: a table in use is not waited for for ever.
func TestCleanBusy(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
	args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--clean"}
	mustExit(t, 0, args...)
	c := connect(t, p.URL(dst))
	if err := c.Exec(t.Context(), "BEGIN; SELECT * FROM t").Close(); err != nil {
		t.Fatal(err)
	}
	wantText(t, mustExit(t, 10, args...), "lock timeout", "end the sessions")
	testbed.MustBeEqual(t, p, src, p, dst)
	if err := c.Exec(t.Context(), "ROLLBACK").Close(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, 0, args...)
}
