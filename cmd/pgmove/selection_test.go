package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// shelves is a database with names that patterns must tell apart, and all that they may leave out.
const shelves = `
CREATE SCHEMA a; CREATE SCHEMA "We ird"; CREATE SCHEMA empty;
CREATE TABLE orders (id serial PRIMARY KEY, note text); INSERT INTO orders (note) SELECT 'n' || g FROM generate_series(1, 300) g;
CREATE TABLE "ORDERS" (id int); INSERT INTO "ORDERS" VALUES (1), (2);
CREATE TABLE a.orders (id int); INSERT INTO a.orders SELECT generate_series(1, 30);
CREATE TABLE a.t1 (id int PRIMARY KEY); INSERT INTO a.t1 SELECT generate_series(1, 7);
CREATE TABLE "We ird"."T?b" (id int); INSERT INTO "We ird"."T?b" VALUES (1);
CREATE TABLE "We ird"."Tab" (id int); INSERT INTO "We ird"."Tab" VALUES (1), (2), (3);
CREATE TABLE "a,b" (id int); INSERT INTO "a,b" VALUES (5);
CREATE TABLE part (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
INSERT INTO part SELECT g, 'v' FROM generate_series(0, 19) g;
CREATE TABLE parent (k int); CREATE TABLE heir (w int) INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO heir VALUES (2, 3);
CREATE SEQUENCE alone; SELECT nextval('alone'), nextval('alone');
CREATE VIEW notes AS SELECT v FROM part;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM part;
CREATE TABLE log (line text); CREATE INDEX log_line ON log (line); INSERT INTO log SELECT 'l' || g FROM generate_series(1, 40) g;
SELECT lo_from_bytea(4711, 'large'); GRANT SELECT ON orders TO PUBLIC;
`

// stock restores what pg_dump, with the flags, takes of a database.
func stock(t *testing.T, p *testbed.Postgres, bin, src string, flags ...string) string {
	t.Helper()
	db := testbed.Database(t, p)
	if slices.Contains(flags, "-t") { // pg_dump takes no schemas then
		testbed.SQL(t, p, db, "CREATE SCHEMA a")
	}
	dump := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), append([]string{"-Fc", "-d", p.URL(src)}, flags...)...)
	var errs bytes.Buffer
	dump.Stderr = &errs
	b, err := dump.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, errs.String())
	}
	restore := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_restore"), "-d", p.URL(db))
	restore.Stdin = bytes.NewReader(b)
	out, err := restore.CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "ERROR") && !strings.Contains(line, `schema "public" already exists`) && !strings.Contains(line, "transaction_timeout") {
			t.Fatalf("pg_restore: %v\n%s", err, out)
		}
	}
	return db
}

// installed copies the fixture's extension to where the server looks for extensions.
func installed(t *testing.T, p *testbed.Postgres) bool {
	t.Helper()
	share, err := p.Value(t.Context(), "postgres", "SELECT setting FROM pg_config WHERE name = 'SHAREDIR'")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"pgmove_conf.control", "pgmove_conf--1.0.sql"} {
		b, err := os.ReadFile(fixtures + "extension/" + f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(share, "extension", f), b, 0o644); err != nil {
			t.Logf("extension configuration rows are not tested: %v", err)
			return false
		}
	}
	return true
}

// TestSelections moves by pg_dump's flags, and compares with what pg_dump itself takes by the same ones.
func TestSelections(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, shelves)
	conf := installed(t, p)
	if conf {
		testbed.SQL(t, p, src, "CREATE SCHEMA IF NOT EXISTS pgmove_conf; CREATE EXTENSION pgmove_conf")
	}
	old, _ := testbed.ClientBin(testbed.DefaultMajor())
	_, young := testbed.NewestClient()
	for _, c := range []struct {
		bin   string
		flags []string
		says  []string
	}{
		{old, []string{"--exclude-schema=a", "-N", "empty"}, []string{"a.orders, a.t1"}},
		{old, []string{"-T", "orders", "-T", `"We ird"."T?b"`}, []string{"public.orders"}},
		{old, []string{"--exclude-table=ORD*", "--exclude-table=*.t1", "-T", "counted", "-T", "notes"}, nil},
		{old, []string{`--exclude-table-data="ORDERS"`, "--exclude-table-data=part", `--exclude-table-data="a,b"`}, []string{"rows of 2 tables are left out", "public.a,b"}},
		{old, []string{"--exclude-table-data=part_?", "--exclude-table-data=counted", "--exclude-table-data=alone"}, []string{"public.part_1, public.part_2"}},
		{old, []string{"-n", "public", "-T", "log"}, []string{"1 large objects are left out"}},
		{old, []string{"-t", "a.*", "--exclude-table-data=a.t1"}, []string{"a.t1"}},
		{old, []string{"-n", `"We ird"`}, nil},
		{old, []string{"--exclude-table=pgmove_conf.*", "--exclude-table-data=*.orders_id_seq"}, nil},
		{old, []string{"--schema-only"}, []string{"section data: it was not moved (--schema-only)"}},
		{old, []string{"-s", "-N", "a", "-T", "counted"}, nil},
		{young, []string{"--exclude-table-data-and-children=part", "--exclude-table-and-children=parent"}, []string{"public.heir"}},
	} {
		t.Run(strings.Join(c.flags, " "), func(t *testing.T) {
			t.Parallel()
			want := stock(t, p, c.bin, src, c.flags...)
			dst := testbed.Database(t, p)
			if slices.Contains(c.flags, "-t") {
				testbed.SQL(t, p, dst, "CREATE SCHEMA a")
			}
			out := mustExit(t, 0, append([]string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--pg-bin", c.bin, "-j2"}, c.flags...)...)
			wantText(t, out, c.says...)
			testbed.MustBeEqual(t, p, want, p, dst)
		})
	}
}

// TestSelectionRefusals: what matches nothing, what the pg_dump at hand does not know, what does not go together.
func TestSelectionRefusals(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, "CREATE TABLE here (a int)")
	old, _ := testbed.ClientBin(testbed.DefaultMajor())
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{10, []string{"-t", "here", "-t", "gone"}, "gone"},
		{10, []string{"-n", "gone"}, "no matching"},
		{10, []string{"--exclude-table-and-children", "here"}, "does not know --exclude-table-and-children"},
		{3, []string{"--section", "some"}, "pre-data, data or post-data"},
		{3, []string{"--section", "sequences"}, "pre-data, data or post-data"},
		{3, []string{"--section", "data", "--schema-only"}, "give one of"},
		{3, []string{"--data-only", "--clean"}, "--clean drops"},
		{3, []string{"--disable-triggers"}, "--data-only"},
		{3, []string{"--dry-run", "--resume"}, "--resume"},
		{10, []string{"--data-only"}, "public.here"},
	} {
		out := mustExit(t, c.code, append([]string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--pg-bin", old}, c.args...)...)
		wantText(t, out, c.want)
		untouched(t, p, dst)
	}
	// Nothing in the way of an exclusion that matches nothing, as with pg_dump.
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "-T", "gone", "--exclude-table-data", "gone*")
	wantText(t, mustExit(t, 10, "run", "--source", p.URL(src), "--target", p.URL(src), "--clean"), "same database")
	testbed.MustBeEqual(t, p, src, p, dst)
}

// TestSelectionIsKept: an archive and a ledger know what was selected, and a resumed run keeps to it.
func TestSelectionIsKept(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, shelves)
	old, _ := testbed.ClientBin(testbed.DefaultMajor())
	dir := t.TempDir() + "/a"
	dump := []string{"dump", "--source", p.URL(src), "--to", dir, "--compress", "gzip", "-T", "log", "--exclude-table-data", "orders"}
	mustExit(t, 0, dump...)
	mustExit(t, 0, append(dump, "--resume")...)
	wantText(t, mustExit(t, 3, "dump", "--source", p.URL(src), "--to", dir, "-T", "log", "--resume"), "--exclude-table log --exclude-table-data orders", "and this is --exclude-table log")
	mustExit(t, 0, "restore", "--from", dir, "--target", p.URL(dst), "--keep-ledger")
	mustExit(t, 0, "validate", "--archive", dir, "--target", p.URL(dst))
	wantText(t, mustExit(t, 3, "restore", "--from", dir, "--target", p.URL(dst), "--resume", "--section", "pre-data"), "another selection", "--section pre-data")
	testbed.SQL(t, p, dst, "DROP SCHEMA pgmove CASCADE")
	testbed.MustBeEqual(t, p, stock(t, p, old, src, "-T", "log", "--exclude-table-data", "orders"), p, dst)
	// Stock pg_restore takes it too.
	again := testbed.Database(t, p)
	if out, err := exec.CommandContext(t.Context(), filepath.Join(old, "pg_restore"), "--exit-on-error", "-d", p.URL(again), dir).CombinedOutput(); err != nil {
		t.Errorf("pg_restore: %v\n%s", err, out)
	}
	testbed.MustBeEqual(t, p, dst, p, again)
}
