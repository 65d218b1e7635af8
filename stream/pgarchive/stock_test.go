package pgarchive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/pgarchive"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// schema is what the tests dump. Each table's columns are copied in the order in which they stand.
const schema = `
CREATE SCHEMA "Odd ""schema"", with (commas";
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy', 'very ''happy''');
CREATE TABLE public.plain (id int PRIMARY KEY, words text, made timestamptz, raw bytea, n numeric);
INSERT INTO public.plain SELECT i, CASE i % 7 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'\\.\n\\N\t\\' ELSE repeat('words ', i % 40) END,
	'2020-01-01 UTC'::timestamptz + i * interval '1 min', decode(md5(i::text), 'hex'), i / 7.0 FROM generate_series(1, 20000) i;
CREATE TABLE public.empty (a int, b text);
CREATE TABLE public.zero ();
INSERT INTO public.zero DEFAULT VALUES; INSERT INTO public.zero DEFAULT VALUES; INSERT INTO public.zero DEFAULT VALUES;
CREATE TABLE "Odd ""schema"", with (commas"."a
table; -- ""quoted"" 'name'" ("select" int, "a, b" text, "c"") FROM stdin;" text, "line
break" text, "Ünï" text, _under1 int);
INSERT INTO "Odd ""schema"", with (commas"."a
table; -- ""quoted"" 'name'" SELECT i, 'x' || i, 'y', NULL, 'ü', i FROM generate_series(1, 500) i;
CREATE TABLE public.computed (a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text);
INSERT INTO public.computed (a, b) SELECT i, i FROM generate_series(1, 100) i;
CREATE TABLE public.moods (m public.mood, id int) PARTITION BY HASH (m);
CREATE TABLE public.moods_0 PARTITION OF public.moods FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.moods_1 (id int, m public.mood);
ALTER TABLE public.moods ATTACH PARTITION public.moods_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO public.moods SELECT (enum_range(NULL::public.mood))[1 + i % 4], i FROM generate_series(1, 1000) i;
CREATE TABLE public.years (y int, t text) PARTITION BY RANGE (y);
CREATE TABLE public.years_0 PARTITION OF public.years FOR VALUES FROM (0) TO (1000);
CREATE TABLE public.years_1 PARTITION OF public.years FOR VALUES FROM (1000) TO (3000);
INSERT INTO public.years SELECT i, 'year ' || i FROM generate_series(0, 2999) i;
CREATE MATERIALIZED VIEW public.mat AS SELECT count(*) FROM public.plain;
CREATE SEQUENCE public.fresh;
CREATE SEQUENCE public."Down ' \ ward" INCREMENT -1;
SELECT setval('public."Down '' \ ward"', -42);
CREATE TABLE public.serial (id bigserial, v text);
INSERT INTO public.serial (v) SELECT 'v' FROM generate_series(1, 77);
CREATE INDEX ON public.plain (made);
CREATE POLICY reading ON public.plain FOR SELECT TO @ROLE@ USING (id > 0);
GRANT SELECT ON public.plain TO @ROLE@;
SELECT lo_create(70001);
SELECT lo_from_bytea(70002, convert_to(repeat('0123456789abcdef', 80000) || 'tail', 'UTF8'));
SELECT lo_from_bytea(70003, '\x00ff00ff');
SELECT lo_from_bytea(70004, convert_to(repeat('x', 262144), 'UTF8'));
GRANT SELECT ON LARGE OBJECT 70003 TO @ROLE@;
COMMENT ON LARGE OBJECT 70002 IS 'it''s large';
`

// wanted are the tables of schema and the columns that are copied, as SQL.
var wanted = map[string]string{
	"public.plain": "id, words, made, raw, n", "public.empty": "a, b", "public.zero": "",
	"Odd \"schema\", with (commas.a\ntable; -- \"quoted\" 'name'": `"select", "a, b", "c"") FROM stdin;", "line` + "\n" + `break", "Ünï", _under1`,
	"public.computed": "a, b", "public.moods_0": "m, id", "public.moods_1": "id, m",
	"public.years_0": "y, t", "public.years_1": "y, t", "public.serial": "id, v",
}

// source makes a database with the schema, and returns its name and that of a role that it refers to.
func source(t *testing.T, p *testbed.Postgres) (db, role string) {
	t.Helper()
	db = testbed.Database(t, p)
	role = `r"` + db[1:] // the oracle replaces the database's own name
	quoted := `"` + strings.ReplaceAll(role, `"`, `""`) + `"`
	testbed.SQL(t, p, db, "CREATE ROLE "+quoted)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(p.Exec(ctx, db, "DROP OWNED BY "+quoted), p.Exec(ctx, db, "DROP ROLE "+quoted)); err != nil {
			t.Error(err)
		}
	})
	testbed.SQL(t, p, db, strings.ReplaceAll(schema, "@ROLE@", quoted))
	return db, role
}

// stock runs stock pg_dump and returns the archive's folder.
func stock(t *testing.T, client int, p *testbed.Postgres, db string, args ...string) string {
	t.Helper()
	bin, ok := testbed.ClientBin(client)
	if !ok {
		t.Fatalf("no pg_dump %d is installed", client)
	}
	dir := filepath.Join(t.TempDir(), "archive")
	args = append([]string{"--format=directory", "--file=" + dir, "--dbname=" + p.URL(db)}, args...)
	if out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), args...).CombinedOutput(); err != nil {
		t.Fatalf("pg_dump %d: %v\n%s", client, err, out)
	}
	return dir
}

func open(t *testing.T, dir string) stream.Store {
	t.Helper()
	s, err := filestore.Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// truth digests what the server's own COPY says.
func truth(t *testing.T, p *testbed.Postgres, db string) map[string]stream.Digest {
	t.Helper()
	ctx := t.Context()
	c, err := pgconn.Connect(ctx, p.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	if _, err := c.Exec(ctx, "SET datestyle = ISO; SET intervalstyle = postgres; SET extra_float_digits = 3; SET search_path = ''").ReadAll(); err != nil {
		t.Fatal(err)
	}
	out := map[string]stream.Digest{}
	for name, cols := range wanted {
		ns, table, _ := strings.Cut(name, ".")
		if cols != "" {
			cols = " (" + cols + ")"
		}
		d := stream.NewDigester(stream.FormatText)
		sql := fmt.Sprintf(`COPY "%s"."%s"%s TO STDOUT`, strings.ReplaceAll(ns, `"`, `""`), strings.ReplaceAll(table, `"`, `""`), cols)
		if _, err := c.CopyTo(ctx, d, sql); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		out[name] = d.Digest()
	}
	return out
}

// check compares a whole archive with the database that it was dumped from.
func check(t *testing.T, s stream.Store, p *testbed.Postgres, db, role string) (*loaded, *stream.Contents) {
	t.Helper()
	l, contents, warnings := load(t, s)
	if len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	for name, want := range truth(t, p, db) {
		if got := l.digests[name]; got != want {
			t.Errorf("table %s: %s, want %s", name, got, want)
		}
	}
	if len(l.digests) != len(wanted)+1 || len(contents.Tables) != len(wanted)+1 {
		t.Errorf("%d tables with rows, %d to compare; want %d", len(l.digests), len(contents.Tables), len(wanted)+1)
	}
	rows, err := p.Query(t.Context(), db, "SELECT oid, encode(lo_get(oid), 'hex') FROM pg_largeobject_metadata")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		oid, _ := strconv.ParseUint(r[0], 10, 32)
		got, ok := l.blobs[uint32(oid)]
		if !ok && r[1] != "" || fmt.Sprintf("%x", got) != r[1] {
			t.Errorf("large object %s: %d bytes that are not those of the source", r[0], len(got))
		}
	}
	// A large object of n bytes is cut in pieces, and an empty one is one.
	if want := int64(1 + 5 + 1 + 1); l.digests[".BLOBS"].Rows != want || len(rows) != 4 {
		t.Errorf("%d pieces of %d large objects, want %d", l.digests[".BLOBS"].Rows, len(rows), want)
	}
	var seqs []string
	for _, v := range contents.Sequences {
		seqs = append(seqs, fmt.Sprintf("%s.%s %d %t", v.Namespace, v.Name, v.Last, v.Called))
	}
	slices.Sort(seqs)
	if want := []string{`public.Down ' \ ward -42 true`, "public.fresh 1 false", "public.serial_id_seq 77 true"}; !slices.Equal(seqs, want) {
		t.Errorf("sequences %q, want %q", seqs, want)
	}
	src := l.header.Source
	num, err := p.Value(t.Context(), db, "SHOW server_version_num")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(src.VersionNum) != num || string(src.Database) != db || src.Encoding != "UTF8" || l.header.Engine != "postgresql" {
		t.Errorf("header %+v of server %s", l.header, num)
	}
	want := stream.RoleUse{Name: stream.Text(role), ACL: true, Other: true}
	if !slices.Contains(src.Roles, want) || !slices.ContainsFunc(src.Roles, func(r stream.RoleUse) bool { return r.Name == "postgres" && r.Owner }) {
		t.Errorf("roles %+v", src.Roles)
	}
	return l, contents
}

// TestStock reads what stock pg_dump of each version wrote, in each of its compressions.
func TestStock(t *testing.T) {
	for _, c := range []struct {
		server, client int
		compress       []string
	}{
		{12, 15, []string{"6"}},
		{13, 18, []string{"none"}},
		{15, 15, []string{"0", "9"}},
		{17, 17, []string{"none", "gzip", "lz4", "zstd"}},
		{18, 18, []string{"none", "gzip", "lz4", "zstd"}},
	} {
		t.Run(fmt.Sprintf("pg_dump %d of %d", c.client, c.server), func(t *testing.T) {
			p := testbed.Shared(t, c.server)
			db, role := source(t, p)
			runs := map[string]bool{}
			for _, z := range c.compress {
				t.Run(z, func(t *testing.T) {
					l, contents := check(t, open(t, stock(t, c.client, p, db, "--compress="+z)), p, db, role)
					runs[l.header.Run] = true
					root := l.entries["TABLE DATA public.moods_1"]
					if tb := root.Table; tb.Root == 0 || tb.RootName != "public.moods" || !slices.Contains(root.Dependencies, tb.Root) ||
						!strings.HasPrefix(string(root.CopyStmt), "COPY public.moods (") {
						t.Errorf("moods_1 goes not through its root: %+v, %q", tb, root.CopyStmt)
					}
					if tb := l.entries["TABLE DATA public.years_1"].Table; tb.Root != 0 {
						t.Errorf("years_1 goes through a root: %+v", tb)
					}
					for _, tc := range contents.Tables {
						want := stream.FormatText
						if tc.Table.LargeObjects {
							want = stream.FormatBlobs
						}
						if tc.Format != want || tc.Digest != (stream.Digest{}) || tc.Table.Rows != -1 || tc.Table.Bytes <= 0 && tc.Table.Name != "empty" {
							t.Errorf("contents of %s: %+v", tc.Table.Name, tc)
						}
					}
				})
			}
			if len(runs) != len(c.compress) {
				t.Errorf("%d archives and %d runs", len(c.compress), len(runs))
			}
		})
	}
}

// TestLoadViaRoot reads an archive all of whose partitions go through their roots.
func TestLoadViaRoot(t *testing.T) {
	p := testbed.Shared(t, 17)
	db, role := source(t, p)
	l, _ := check(t, open(t, stock(t, 17, p, db, "--load-via-partition-root")), p, db, role)
	if tb := l.entries["TABLE DATA public.years_1"].Table; tb.RootName != "public.years" {
		t.Errorf("years_1 goes not through its root: %+v", tb)
	}
}

// TestStatistics leaves out what pg_dump 18 says of the planner's statistics, and says so.
func TestStatistics(t *testing.T) {
	p := testbed.Shared(t, 18)
	db, _ := source(t, p)
	testbed.SQL(t, p, db, "ANALYZE public.plain")
	_, _, warnings := load(t, open(t, stock(t, 18, p, db, "--statistics")))
	if len(warnings) != 1 || !strings.Contains(warnings[0], "statistics") {
		t.Errorf("warnings %q", warnings)
	}
}

// TestParts reads archives of parts of a database, or refuses them.
func TestParts(t *testing.T) {
	p := testbed.Shared(t, 15)
	db, _ := source(t, p)
	for _, c := range []struct {
		client int
		args   []string
		kind   stream.Kind // Failed: it is taken
		tables int
	}{
		{15, []string{"--schema-only"}, stream.Failed, 0},
		{17, []string{"--schema-only"}, stream.Failed, 0},
		{17, []string{"--section=pre-data", "--section=data"}, stream.Failed, len(wanted) + 1},
		{15, []string{"--table=public.plain"}, stream.Failed, 1},
		{15, []string{"--inserts"}, stream.Preflight, 0},
		{17, []string{"--rows-per-insert=10"}, stream.Preflight, 0},
		{15, []string{"--data-only"}, stream.Preflight, 0},
		{17, []string{"--data-only"}, stream.Preflight, 0},
		{15, []string{"--data-only", "--blobs", "--exclude-table-data=*.*"}, stream.Failed, 1}, // large objects come with what creates them
		{17, []string{"--data-only", "--exclude-table-data=*.*"}, stream.Failed, 1},
	} {
		t.Run(fmt.Sprint(c.client, c.args), func(t *testing.T) {
			s := open(t, stock(t, c.client, p, db, c.args...))
			r, contents, _, err := pgarchive.Open(t.Context(), s, "the archive")
			if c.kind != stream.Failed {
				wantKind(t, err, c.kind)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(contents.Tables) != c.tables {
				t.Errorf("%d tables, want %d", len(contents.Tables), c.tables)
			}
			if _, err := readAll(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestExtensionRows: what belongs to an extension can be loaded and not compared.
func TestExtensionRows(t *testing.T) {
	p := testbed.Shared(t, 15)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, `CREATE TABLE public.settings (k text); INSERT INTO public.settings VALUES ('a');
		CREATE EXTENSION hstore SCHEMA public; ALTER EXTENSION hstore ADD TABLE public.settings;
		UPDATE pg_extension SET extconfig = ARRAY['public.settings'::regclass::oid], extcondition = ARRAY[''] WHERE extname = 'hstore'`)
	dir := stock(t, 15, p, db)
	l, contents, warnings := load(t, open(t, dir))
	if l.digests["public.settings"].Rows != 1 || len(contents.Tables) != 0 || len(warnings) != 1 || !strings.Contains(warnings[0], "public.settings") {
		t.Errorf("%v, %+v, %q", l.digests, contents.Tables, warnings)
	}
}

// TestManyLargeObjects reads lists of more than a chunk's worth of large objects, in groups.
func TestManyLargeObjects(t *testing.T) {
	p := testbed.Shared(t, 17)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, "SELECT count(lo_from_bytea(80000 + i, convert_to('object ' || i, 'UTF8'))) FROM generate_series(1, 2300) i")
	for _, client := range []int{17, 18} {
		dir := stock(t, client, p, db, "--compress=none")
		if lists, _ := filepath.Glob(filepath.Join(dir, "blobs_*.toc")); len(lists) < 2 {
			t.Errorf("pg_dump %d wrote %d lists", client, len(lists))
		}
		l, contents, warnings := load(t, open(t, dir))
		if len(l.blobs) != 2300 || string(l.blobs[80077]) != "object 77" || l.chunks[".BLOBS"] != 5 || len(contents.Tables) != 1 || len(warnings) > 0 {
			t.Errorf("pg_dump %d: %d large objects in %d chunks, %d tables, warnings %q", client, len(l.blobs), l.chunks[".BLOBS"], len(contents.Tables), warnings)
		}
		toc, err := os.Open(filepath.Join(dir, "toc.dat"))
		if err != nil {
			t.Fatal(err)
		}
		index, err := pgtoc.Read(toc)
		toc.Close()
		if err != nil || !index.Version.HasRelkind() {
			t.Errorf("%v, %v", index, err)
		}
	}
}

func wantKind(t *testing.T, err error, kind stream.Kind) {
	t.Helper()
	var f *stream.Failure
	if !errors.As(err, &f) || stream.KindOf(err) != kind {
		t.Errorf("%v: of kind %d, want %d", err, stream.KindOf(err), kind)
		return
	}
	if f.Object == "" || f.Hint == "" {
		t.Errorf("%v: without an object or a hint", err)
	}
}
