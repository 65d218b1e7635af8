package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

var steps = []string{"pre-data", "data", "post-data"}

// TestSteps moves section by section onto one target: directly, from one archive, and from an archive a section, which stock pg_restore
// restores as well.
func TestSteps(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	bin, _ := testbed.ClientBin(testbed.DefaultMajor())
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, much)
	all := t.TempDir() + "/all"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", all)
	apart := t.TempDir()
	for _, s := range steps {
		mustExit(t, 0, "dump", "--source", p.URL(src), "--to", apart+"/"+s, "--section", s, "--compress", "gzip", "--split-size", "100kB")
	}
	for _, c := range []struct {
		name string
		args func(step string) []string
	}{
		{"direct", func(s string) []string {
			return []string{"run", "--source", p.URL(src), "--section", s, "--split-size", "100kB"}
		}},
		{"from one archive", func(s string) []string { return []string{"restore", "--from", all, "--section", s} }},
		{"from three archives", func(s string) []string { return []string{"restore", "--from", apart + "/" + s} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dst := testbed.Database(t, p)
			into := func(s string) []string { return append(c.args(s), "--target", p.URL(dst)) }
			wantText(t, mustExit(t, 10, into("data")...), "missing", "public.customer", "--section pre-data first")
			wantText(t, mustExit(t, 10, into("post-data")...), "missing", "public.customer")
			untouched(t, p, dst)
			for i, s := range steps {
				out := mustExit(t, 0, into(s)...)
				for _, other := range steps {
					if other != s {
						wantText(t, out, "unverified: section "+other+": it was not moved (--section "+s+")")
					}
				}
				if s == "post-data" {
					wantText(t, out, "unverified: MATERIALIZED VIEW public.per_customer: filled anew on the target")
				}
				wantText(t, mustExit(t, 10, into(s)...), []string{"the target is not empty", "tables are not empty on the target: public.customer", "post-data already: ", "INDEX public.orders_by_customer"}[i])
			}
			testbed.MustBeEqual(t, p, src, p, dst)
			mustExit(t, 0, "validate", "--archive", all, "--target", p.URL(dst))
			mustExit(t, 0, "validate", "--source", p.URL(src), "--target", p.URL(dst), "--data-only")
		})
	}
	t.Run("by pg_restore", func(t *testing.T) {
		t.Parallel()
		dst := testbed.Database(t, p)
		for _, s := range steps {
			args := []string{"--exit-on-error", "-j2", "-d", p.URL(dst), apart + "/" + s}
			if out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_restore"), args...).CombinedOutput(); err != nil {
				t.Fatalf("pg_restore of %s: %v\n%s", s, err, out)
			}
		}
		testbed.MustBeEqual(t, p, src, p, dst)
	})
	t.Run("less than asked for", func(t *testing.T) {
		t.Parallel()
		dst := testbed.Database(t, p)
		wantText(t, mustExit(t, 10, "restore", "--from", apart+"/pre-data", "--target", p.URL(dst), "--section", "pre-data", "--section", "data"),
			"holds no section data", "dumped with --section pre-data")
		bare := t.TempDir() + "/stock"
		if out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "-Fd", "-s", "-f", bare, "-d", p.URL(src)).CombinedOutput(); err != nil {
			t.Fatalf("pg_dump: %v\n%s", err, out)
		}
		wantText(t, mustExit(t, 10, "restore", "--from", bare, "--target", p.URL(dst), "--data-only"), "holds nothing of section data")
		untouched(t, p, dst)
		mustExit(t, 0, "restore", "--from", bare, "--target", p.URL(dst), "--section", "pre-data")
		mustExit(t, 0, "restore", "--from", apart+"/data", "--target", p.URL(dst))
		mustExit(t, 0, "restore", "--from", bare, "--target", p.URL(dst), "--section", "post-data")
		testbed.MustBeEqual(t, p, src, p, dst, "^matview") // pg_dump -s leaves them unfilled
	})
}

// chain is tables that refer to each other in a row, the largest first, and to themselves.
const chain = `
CREATE TABLE root (id int PRIMARY KEY, boss int REFERENCES root);
CREATE TABLE middle (id int PRIMARY KEY, root int NOT NULL REFERENCES root);
CREATE TABLE leaf (id int PRIMARY KEY, middle int NOT NULL REFERENCES middle, filler text) PARTITION BY RANGE (id);
CREATE TABLE leaf_1 PARTITION OF leaf FOR VALUES FROM (0) TO (5000);
CREATE TABLE leaf_2 PARTITION OF leaf FOR VALUES FROM (5000) TO (20000);
CREATE TABLE "of leaf" (leaf int REFERENCES leaf);
INSERT INTO root SELECT g, nullif(g - 1, 0) FROM generate_series(1, 50) g;
INSERT INTO middle SELECT g, 1 + g % 50 FROM generate_series(1, 2000) g;
INSERT INTO leaf SELECT g, 1 + g % 2000, repeat('f', 100) FROM generate_series(1, 10000) g;
INSERT INTO "of leaf" SELECT g FROM generate_series(1, 10000) g;
`

// TestDataOnly loads rows into a finished schema, whose foreign keys hold from the first row on.
func TestDataOnly(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, chain+"SELECT lo_from_bytea(4711, 'one'), lo_from_bytea(4712, 'two')")
	dir := t.TempDir() + "/a"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir, "--split-size", "100kB")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"direct", []string{"run", "--source", p.URL(src), "--split-size", "100kB", "-j1"}},
		{"side by side", []string{"run", "--source", p.URL(src), "--split-size", "100kB", "-j4"}},
		{"from an archive", []string{"restore", "--from", dir, "-j3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dst := testbed.Database(t, p)
			args := append(c.args, "--target", p.URL(dst))
			mustExit(t, 0, append(args, "--schema-only")...)
			testbed.SQL(t, p, dst, "SELECT lo_from_bytea(4713, 'its own')")
			killed(t, "ledger.chunk:after:3", append(args, "--data-only")...)
			wantText(t, mustExit(t, 10, append(args, "--data-only")...), "did not finish", "--resume")
			wantText(t, mustExit(t, 3, append(args, "--resume")...), "another selection")
			testbed.SQL(t, p, src, "SELECT txid_current()") // the next snapshot is provably another one
			mustExit(t, 0, append(args, "--data-only", "--resume")...)
			if v, err := p.Value(t.Context(), dst, "SELECT lo_get(4713) || lo_unlink(4713)::text::bytea"); err != nil || v != `\x697473206f776e31` {
				t.Errorf("a large object that was there: %s (%v)", v, err)
			}
			testbed.MustBeEqual(t, p, src, p, dst)
		})
	}
	t.Run("circles and triggers", func(t *testing.T) {
		t.Parallel()
		src, dst := testbed.Database(t, p), testbed.Database(t, p)
		testbed.SQL(t, p, src, `CREATE TABLE hen (id int PRIMARY KEY, egg int); CREATE TABLE egg (id int PRIMARY KEY, hen int REFERENCES hen);
			INSERT INTO hen SELECT g, g FROM generate_series(1, 100) g; INSERT INTO egg SELECT g, g FROM generate_series(1, 100) g;
			ALTER TABLE hen ADD CONSTRAINT hen_egg FOREIGN KEY (egg) REFERENCES egg; CREATE TABLE fired (id int); CREATE TABLE nest (egg int REFERENCES egg);
			CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.fired VALUES (NEW.id); RETURN NEW; END $$;
			CREATE TRIGGER fire AFTER INSERT ON hen FOR EACH ROW EXECUTE FUNCTION fire()`)
		args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst)}
		mustExit(t, 0, append(args, "--schema-only")...)
		out := mustExit(t, 10, append(args, "--data-only")...)
		wantText(t, out, "in a circle", "hen_egg (public.hen to public.egg)", "egg_hen_fkey", "before --section post-data")
		if strings.Contains(out, "nest") {
			t.Errorf("a table that only refers to the circle is named as part of it:\n%s", out)
		}
		role := "plain_" + dst
		testbed.SQL(t, p, dst, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'x'; GRANT ALL ON ALL TABLES IN SCHEMA public TO %[1]s; GRANT CREATE ON DATABASE %s TO %[1]s", role, dst))
		t.Cleanup(func() { _ = p.Exec(t.Context(), "postgres", "DROP ROLE "+role) })
		wantText(t, mustExit(t, 12, "run", "--source", p.URL(src), "--target", p.URLAs(role, "x", dst), "--data-only", "--disable-triggers"), "may not switch triggers off")
		testbed.SQL(t, p, dst, "DROP OWNED BY "+role+"; ALTER TABLE hen DROP CONSTRAINT hen_egg")
		wantText(t, mustExit(t, 10, append(args, "--data-only")...), "triggers on the target would fire", "public.hen fire")
		testbed.SQL(t, p, dst, "ALTER TABLE hen ADD CONSTRAINT hen_egg FOREIGN KEY (egg) REFERENCES egg")
		wantText(t, mustExit(t, 0, append(args, "--data-only", "--disable-triggers")...), "did not check foreign keys")
		testbed.MustBeEqual(t, p, src, p, dst)
	})
}
