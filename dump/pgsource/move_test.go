package pgsource_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/pipestore"
	"github.com/pgmove/pgmove/stream/watch"
	"github.com/pgmove/pgmove/validate"
)

// formats are tables whose names begin with the format that their rows must have.
const formats = `
CREATE TYPE mood AS ENUM ('sad', 'it''s \ ok', 'ünïcödé');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE span AS RANGE (subtype = int4);
CREATE DOMAIN short AS varchar(5) CHECK (value <> 'no') DEFAULT 'x';
CREATE DOMAIN shorter AS short NOT NULL CHECK (length(value) < 4);
CREATE DOMAIN good AS mood CHECK (value > 'sad');
CREATE DOMAIN listed AS int[];
CREATE DOMAIN moods AS mood[];
CREATE DOMAIN paired AS pair;
CREATE TABLE binary_wide (id bigint PRIMARY KEY, at timestamptz, amount numeric(30,10), words text, data bytea, tag uuid, doc jsonb, f float8, "Qu""oted,
name" char(7), ok bool);
INSERT INTO binary_wide SELECT g, timestamptz '2020-01-01' + g * interval '1.000001 s', g / 7.0, repeat(md5(g::text), g % 50), decode(md5(g::text), 'hex'),
	md5(g::text)::uuid, jsonb_build_object('g', g), g / 3.0::float8, g % 1000, nullif(g % 3, 0) = 1 FROM generate_series(1, 9000) g;
UPDATE binary_wide SET words = NULL, amount = 'NaN', f = '-Infinity' WHERE id % 10 = 0;
DELETE FROM binary_wide WHERE id % 13 = 0;
CREATE TABLE binary_enum (m mood, g good);
INSERT INTO binary_enum VALUES ('sad', 'ünïcödé'), ('it''s \ ok', NULL), (NULL, 'it''s \ ok');
CREATE TABLE binary_domain (a short, b shorter, c "char", d name);
INSERT INTO binary_domain SELECT 'üñ', 'ab', 'c', 'd' FROM generate_series(1, 20);
CREATE TABLE binary_left (id int, gone money, kept text);
INSERT INTO binary_left VALUES (1, 2, 'x');
ALTER TABLE binary_left DROP COLUMN gone;
CREATE TABLE binary_generated (id int, twice interval GENERATED ALWAYS AS (id * interval '2 s') STORED);
INSERT INTO binary_generated SELECT generate_series(1, 100);
CREATE TABLE binary_empty (id int);
CREATE TABLE binary_ascii (id int, words text) WITH (autovacuum_enabled = off);
INSERT INTO binary_ascii VALUES (1, 'a'), (2, 'b');
CREATE TABLE binary_parent (id int, words text);
CREATE TABLE text_child (more int[]) INHERITS (binary_parent);
INSERT INTO binary_parent VALUES (1, 'parent');
INSERT INTO text_child VALUES (2, 'child', '{1}');
CREATE TABLE routed (m mood, id int, words text) PARTITION BY HASH (m);
CREATE TABLE binary_part_0 PARTITION OF routed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE binary_part_1 (words text, dropped money, id int, m mood);
ALTER TABLE binary_part_1 DROP COLUMN dropped;
ALTER TABLE routed ATTACH PARTITION binary_part_1 FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE binary_part_2 PARTITION OF routed FOR VALUES WITH (MODULUS 3, REMAINDER 2) PARTITION BY RANGE (id);
CREATE TABLE binary_part_2a PARTITION OF binary_part_2 FOR VALUES FROM (0) TO (100);
CREATE TABLE binary_part_2b PARTITION OF binary_part_2 DEFAULT;
INSERT INTO routed SELECT (enum_range(NULL::mood))[1 + g % 3], g, 'row ' || g FROM generate_series(1, 300) g;
CREATE TABLE text_routed (m mood[], id int) PARTITION BY HASH (m);
CREATE TABLE text_part_0 PARTITION OF text_routed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE text_part_1 PARTITION OF text_routed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO text_routed SELECT (enum_range(NULL::mood))[1:1 + g % 3], g FROM generate_series(1, 50) g;
CREATE TABLE text_array (v int[]);
INSERT INTO text_array VALUES ('{NULL,2}');
UPDATE text_array SET v[1] = 1;
CREATE TABLE text_enums (v mood[]);
INSERT INTO text_enums VALUES ('{sad,"it''s \\ ok"}');
CREATE TABLE text_listed (v listed);
CREATE TABLE text_moods (v moods);
CREATE TABLE text_short (v short[]);
CREATE TABLE text_pair (v pair);
INSERT INTO text_pair VALUES ('(1,x)');
CREATE TABLE text_paired (v paired);
CREATE TABLE text_money (v money);
CREATE TABLE text_interval (v interval);
CREATE TABLE text_xml (v xml);
CREATE TABLE text_reg (v regclass);
CREATE TABLE text_span (v span);
CREATE TABLE text_query (v tsquery);
INSERT INTO text_query VALUES ('');
CREATE TABLE text_row (v binary_empty);
CREATE TABLE text_tid (v tid);
CREATE TABLE text_vector (v oidvector);
CREATE TABLE text_initdb (v information_schema.cardinal_number);
CREATE TABLE text_none ();
INSERT INTO text_none DEFAULT VALUES;
CREATE TABLE text_one_of_many (id bigint, words text, v money);
INSERT INTO text_one_of_many VALUES (1, 'x', 2);`

const extensions = `
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE TABLE text_citext (v citext);
INSERT INTO text_citext VALUES ('Words');
CREATE TABLE text_hstore (v hstore);`

// config makes a table the configuration of an extension.
const config = `
CREATE TABLE text_config (id int);
ALTER EXTENSION hstore ADD TABLE text_config;
UPDATE pg_extension SET extconfig = ARRAY['text_config'::regclass::oid], extcondition = ARRAY[''] WHERE extname = 'hstore'`

func openSource(t *testing.T, p *testbed.Postgres, db string, o pgsource.Options) (*pgsource.Source, error) {
	t.Helper()
	conn, err := pgsession.Parse(p.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	o.Jobs = 2
	var ok bool
	if o.BinDir, ok = testbed.ClientBin(p.Major()); !ok {
		_, o.BinDir = testbed.NewestClient()
	}
	s, err := pgsource.Open(t.Context(), conn, o)
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

func mustOpen(t *testing.T, p *testbed.Postgres, db string, o pgsource.Options) *pgsource.Source {
	t.Helper()
	s, err := openSource(t, p, db, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fillUTF8 makes the tables in a database of any encoding.
func fillUTF8(t *testing.T, url string) {
	t.Helper()
	conn, err := pgsession.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pgsession.Connect(t.Context(), conn, pgsession.Options{Encoding: "UTF8"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.End()
	if err := s.Do(t.Context(), "SET search_path = public; "+formats); err != nil {
		t.Fatal(err)
	}
}

// TestFormats: which tables go in binary form, all chunks alike.
func TestFormats(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, formats+extensions+config)
	for _, format := range []string{"", "text", "binary", "auto"} {
		s := mustOpen(t, p, db, pgsource.Options{Format: format, SplitSize: 64 << 10})
		_, entries, err := s.Entries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for i := range entries {
			e := &entries[i]
			if e.Table == nil {
				continue
			}
			want, _, _ := strings.Cut(string(e.Tag), "_")
			if format == "" || format == "text" {
				want = stream.FormatText
			}
			chunks, err := s.Split(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if e.Tag == "binary_wide" && len(chunks) < 3 {
				t.Errorf("%s has %d chunks", e.Tag, len(chunks))
			}
			for _, c := range chunks {
				if c.Format != want {
					t.Errorf("format %q: %s is %s", format, e.Tag, c.Format)
				}
			}
			seen++
		}
		if seen < 30 {
			t.Errorf("only %d tables", seen)
		}
	}
	if _, err := openSource(t, p, db, pgsource.Options{Format: "csv"}); stream.KindOf(err) != stream.Usage {
		t.Errorf("format csv: %v", err)
	}
}

// TestFormatAsAsked: rows come in the chunk's format, whatever the source is set to; in chunks of a
// few rows or of none, which add up to the same.
func TestFormatAsAsked(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, formats)
	var sums [2]map[stream.Text]stream.Digest
	for i, o := range []pgsource.Options{{SplitSize: 16 << 10}, {Format: "binary"}} {
		sums[i] = map[stream.Text]stream.Digest{}
		s := mustOpen(t, p, db, o)
		_, entries, err := s.Entries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for j := range entries {
			e := &entries[j]
			if e.Table == nil || !strings.HasPrefix(string(e.Tag), "binary_") {
				continue
			}
			chunks, err := s.Split(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			// A range beyond the table's end has no rows, and both ends of the stream.
			for _, c := range append(chunks, stream.Chunk{Range: "ctid >= '(99999,0)'::pg_catalog.tid"}) {
				c.Format = stream.FormatBinary
				d := stream.NewDigester(c.Format)
				if err := s.CopyTo(t.Context(), e, c, d); err != nil {
					t.Fatal(err)
				}
				if err := d.Close(); err != nil {
					t.Errorf("%s, %s: %v", e.Tag, c.Range, err)
				}
				sum := sums[i][e.Tag]
				sum.Add(d.Digest())
				sums[i][e.Tag] = sum
			}
		}
	}
	for tag, want := range sums[1] {
		if sums[0][tag] != want {
			t.Errorf("%s: %v in one piece, %v in chunks", tag, want, sums[0][tag])
		}
	}
	if n := sums[1]["binary_wide"].Rows; n != 9000-9000/13 {
		t.Errorf("%d rows", n)
	}
}

// following is a store that a writer and a reader share.
type following interface {
	stream.Store
	stream.Announcer
	CloseWithError(error)
}

// move moves a database, directly or through an archive in the folder, and returns what the source held.
func move(t *testing.T, src *pgsource.Source, p *testbed.Postgres, db, folder string) *stream.Contents {
	t.Helper()
	conn, err := pgsession.Parse(p.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	tgt, err := pgtarget.Open(t.Context(), conn, pgtarget.Options{Sessions: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer tgt.Close()
	var store following = pipestore.New()
	if folder != "" {
		files, err := filestore.Open(folder, true)
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		store = watch.New(files)
	}
	var contents *stream.Contents
	g, ctx := errgroup.WithContext(t.Context())
	end := func(err error) error {
		if err != nil {
			store.CloseWithError(err)
		}
		return err
	}
	g.Go(func() (err error) {
		contents, err = dump.Run(ctx, src, stream.NewWriter(store, folder == "", stream.Zstd), dump.Options{Jobs: 2, Run: "3f0e5d5e-0000-4000-8000-000000000001"})
		return end(err)
	})
	g.Go(func() error {
		return end(restore.Run(ctx, stream.Follow(store, "", store, nil), tgt, restore.Options{Jobs: 2}))
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return contents
}

// compare validates the target by digests; it returns what differs.
func compare(t *testing.T, contents *stream.Contents, p *testbed.Postgres, db string) []string {
	t.Helper()
	s := mustOpen(t, p, db, pgsource.Options{NoSchema: true, Encoding: contents.Header.Source.Encoding, SplitSize: 40 << 10, Side: "validate"})
	res, err := validate.Run(t.Context(), contents, s, validate.Options{Level: validate.Digest, Jobs: 2, NoSchema: true})
	if err != nil {
		t.Fatal(err)
	}
	return res.Mismatches
}

// TestMoveBinary moves rows in binary form to another version and between encodings, and finds them equal.
func TestMoveBinary(t *testing.T) {
	majors := testbed.Majors()
	oldest, newest := majors[0], majors[len(majors)-1]
	encoded := func(e string) string { return "TEMPLATE template0 ENCODING '" + e + "' LC_COLLATE 'C' LC_CTYPE 'C'" }
	for _, c := range []struct {
		from, to   int
		enc, toEnc string
		kept       bool
	}{
		{oldest, newest, "UTF8", "UTF8", false},
		{oldest, newest, "UTF8", "UTF8", true},
		{newest, newest, "LATIN1", "UTF8", false},
		{newest, newest, "UTF8", "LATIN1", false},
		{newest, newest, "SQL_ASCII", "SQL_ASCII", true},
		{newest, newest, "SQL_ASCII", "UTF8", false},
	} {
		t.Run(fmt.Sprintf("%d %s to %d %s, kept %t", c.from, c.enc, c.to, c.toEnc, c.kept), func(t *testing.T) {
			from, to := testbed.Shared(t, c.from), testbed.Shared(t, c.to)
			src, dst := testbed.DatabaseWith(t, from, encoded(c.enc)), testbed.DatabaseWith(t, to, encoded(c.toEnc))
			fillUTF8(t, from.URL(src))
			folder := ""
			if c.kept {
				folder = filepath.Join(t.TempDir(), "archive")
			}
			contents := move(t, mustOpen(t, from, src, pgsource.Options{Format: "auto", SplitSize: 64 << 10}), to, dst, folder)
			binary := 0
			for _, tc := range contents.Tables {
				if tc.Format == stream.FormatBinary {
					binary++
				}
			}
			if binary < 10 {
				t.Errorf("only %d tables of %d were moved in binary form", binary, len(contents.Tables))
			}
			if diff := compare(t, contents, to, dst); len(diff) > 0 {
				t.Fatalf("they differ: %q", diff)
			}
			testbed.SQL(t, to, dst, "UPDATE binary_wide SET f = '-0' WHERE id = 7; UPDATE binary_enum SET m = 'sad' WHERE m IS NULL; UPDATE routed SET words = 'x' WHERE id = 9")
			if diff := compare(t, contents, to, dst); len(diff) != 3 {
				t.Errorf("of three changed tables these are found: %q", diff)
			}
		})
	}
}

// TestStockBinary: stock pg_restore loads an archive of binary rows, in many chunks or one.
func TestStockBinary(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, formats+extensions)
	bin, ok := testbed.ClientBin(p.Major())
	if !ok {
		t.Fatal("no pg_restore is installed")
	}
	for _, size := range []int64{24 << 10, 1 << 30} {
		dir := filepath.Join(t.TempDir(), "archive")
		store, err := filestore.Open(dir, true)
		if err != nil {
			t.Fatal(err)
		}
		src := mustOpen(t, p, db, pgsource.Options{Format: "binary", SplitSize: size})
		if _, err := dump.Run(t.Context(), src, stream.NewWriter(store, false, stream.Gzip), dump.Options{Jobs: 2, Run: "3f0e5d5e-0000-4000-8000-000000000002"}); err != nil {
			t.Fatal(err)
		}
		_ = store.Close()
		toc, err := os.ReadFile(filepath.Join(dir, "toc.dat"))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(toc, []byte(" FROM stdin WITH (FORMAT binary);\n")); n < 10 {
			t.Errorf("%d entries of toc.dat load binary rows", n)
		}
		for _, jobs := range []string{"-j1", "-j2"} {
			dst := testbed.Database(t, p)
			out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_restore"), jobs, "--exit-on-error", "-d", p.URL(dst), dir).CombinedOutput()
			if err != nil {
				t.Fatalf("pg_restore %s: %v\n%.2000s", jobs, err, out)
			}
			var want, got []string
			for i, d := range []string{db, dst} {
				s, err := p.Value(t.Context(), d, `SELECT string_agg(format('%s %s', c.relname, query_to_xml(format('SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ONLY %I t', c.relname), false, true, '')), E'\n' ORDER BY c.relname)
					FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname !~ 'part_'`)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					want = strings.Split(s, "\n")
				} else {
					got = strings.Split(s, "\n")
				}
			}
			if !slices.Equal(want, got) {
				t.Errorf("pg_restore %s of chunks of %d bytes: %v instead of %v", jobs, size, got, want)
			}
		}
	}
}
