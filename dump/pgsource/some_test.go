package pgsource

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// looking opens a database for reading, with its snapshot taken.
func looking(t *testing.T, p *testbed.Postgres, db, format string) *Source {
	t.Helper()
	conn, err := pgsession.Parse(p.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), conn, Options{Jobs: 2, NoSchema: true, Format: format})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, _, err := s.Entries(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// found is a table with these columns.
func found(t *testing.T, s *Source, name string, columns ...stream.Text) *stream.Entry {
	t.Helper()
	e := s.Find(&stream.Table{Namespace: "public", Name: stream.Text(name), Columns: columns})
	if e == nil {
		t.Fatalf("there is no table %s", name)
	}
	return e
}

// TestSums: every row is in one bucket, at the ends of what integers can be too, and CopySome sends the rows of the
// buckets that it is asked for.
func TestSums(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, `CREATE TABLE wide (id bigint PRIMARY KEY, v text); INSERT INTO wide SELECT g, 'v' || g FROM generate_series(-500, 500) g;
		INSERT INTO wide VALUES (-9223372036854775808, 'least'), (9223372036854775807, 'most'), (9223372036854775806, NULL);
		CREATE TABLE small (id smallint PRIMARY KEY, v text); INSERT INTO small SELECT g, 'v' FROM generate_series(-32768, 32767, 100) g; INSERT INTO small VALUES (32767, '');
		CREATE TABLE words (a text, b int, v text, PRIMARY KEY (b, a)); INSERT INTO words SELECT 'w' || g, g % 3, '' FROM generate_series(1, 1000) g;
		CREATE TABLE keyless (a text, b int); INSERT INTO keyless SELECT 'same', g % 3 FROM generate_series(1, 1000) g`)
	s := looking(t, p, db, "")
	for _, c := range []struct {
		table   string
		columns []stream.Text
		key     []int
		ranges  bool
	}{
		{"wide", []stream.Text{"id", "v"}, []int{0}, true},
		{"small", []stream.Text{"v", "id"}, []int{1}, true},
		{"words", []stream.Text{"a", "b", "v"}, []int{1, 0}, false},
		{"keyless", []stream.Text{"a", "b"}, nil, false},
	} {
		e := found(t, s, c.table, c.columns...)
		key, err := s.Key(t.Context(), e)
		if err != nil || !slices.Equal(key, c.key) {
			t.Fatalf("%s: key %v instead of %v (%v)", c.table, key, c.key, err)
		}
		lo, hi, ok, err := s.Bounds(t.Context(), e, key)
		if err != nil || ok != c.ranges {
			t.Fatalf("%s: bounds %d to %d, %t (%v)", c.table, lo, hi, ok, err)
		}
		total, err := s.Count(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		cuts := []stream.Cut{{Of: 16}, {Of: 1}}
		if ok {
			for _, of := range []uint64{1, 16, 1 << 16} {
				cuts = append(cuts, stream.Cut{Of: int(of), Lo: lo, Width: (uint64(hi)-uint64(lo))/of + 1})
			}
			if lo == -9223372036854775808 {
				cuts = slices.Delete(cuts, 2, 3) // one range of all: its width is no number of 64 bits
			}
		}
		for _, cut := range cuts {
			sums, err := s.Sums(t.Context(), e, key, cut)
			if err != nil {
				t.Fatalf("%s, %+v: %v", c.table, cut, err)
			}
			var rows, sent int64
			for b, sum := range sums {
				if rows += sum.Rows; b < 0 || b >= cut.Of {
					t.Errorf("%s, %+v: bucket %d", c.table, cut, b)
				}
			}
			for part := range slices.Chunk(sorted(sums), 3) {
				some := cut
				some.Only = part
				var want int64
				for _, b := range part {
					want += sums[b].Rows
				}
				for _, now := range []bool{false, true} {
					var out bytes.Buffer
					if err := s.CopySome(t.Context(), e, key, stream.FormatText, []stream.Cut{some}, now, &out); err != nil {
						t.Fatalf("%s, %+v: %v", c.table, some, err)
					}
					if n := int64(strings.Count(out.String(), "\n")); n != want {
						t.Errorf("%s, %+v: %d rows instead of %d", c.table, some, n, want)
					}
				}
				if sent += want; len(sums) > 100 && sent > 100 {
					break
				}
			}
			if rows != total {
				t.Errorf("%s, %+v: %d rows of %d", c.table, cut, rows, total)
			}
		}
	}
}

func sorted(sums map[int]stream.Sum) []int {
	var all []int
	for b := range sums {
		all = append(all, b)
	}
	slices.Sort(all)
	return all
}

// TestSumsTellValuesApart: what differs by its text hashes otherwise, and NULL is not an empty string.
func TestSumsTellValuesApart(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	values := []string{"NULL, NULL", "'', NULL", "NULL, ''", "',', NULL", "'\"', NULL", "'a', 'b'", "'a,b', NULL", "'ab', ''", "'NULL', NULL"}
	var sql strings.Builder
	for i, v := range values {
		fmt.Fprintf(&sql, "CREATE TABLE t%d (a text, b text); INSERT INTO t%d VALUES (%s);", i, i, v)
	}
	testbed.SQL(t, p, db, sql.String())
	s := looking(t, p, db, "")
	seen := map[uint64]string{}
	for i, v := range values {
		sums, err := s.Sums(t.Context(), found(t, s, fmt.Sprint("t", i), "a", "b"), nil, stream.Cut{Of: 1})
		if err != nil {
			t.Fatal(err)
		}
		if other := seen[sums[0].Hashes]; other != "" {
			t.Errorf("(%s) and (%s) have the same hash", v, other)
		}
		seen[sums[0].Hashes] = v
	}
}

// TestKey: only what tells all rows apart is a key.
func TestKey(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, `CREATE TABLE a (x int, y int NOT NULL, z int NOT NULL); CREATE UNIQUE INDEX ON a (x); CREATE UNIQUE INDEX ON a ((y + 1));
			CREATE UNIQUE INDEX ON a (y) WHERE x > 0; CREATE INDEX ON a (z);
		CREATE TABLE b (x int, y int NOT NULL, z int NOT NULL); CREATE UNIQUE INDEX ON b (x, y); CREATE UNIQUE INDEX ON b (z, y);
		CREATE TABLE c (x int NOT NULL UNIQUE, y int, z int, PRIMARY KEY (z, y) INCLUDE (x));
		CREATE TABLE d (x int PRIMARY KEY, y int, z int GENERATED ALWAYS AS (x + 1) STORED UNIQUE NOT NULL)`)
	s := looking(t, p, db, "")
	for table, want := range map[string]string{"a": "[]", "b": "[2 1]", "c": "[2 1]", "d": "[0]"} {
		key, err := s.Key(t.Context(), found(t, s, table, "x", "y", "z"))
		if got := fmt.Sprint(key); err != nil || got != want {
			t.Errorf("%s: %s instead of %s (%v)", table, got, want, err)
		}
	}
}

// TestShow: fields in binary form read as the server prints them.
func TestShow(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, `CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN age AS int; CREATE DOMAIN older AS age;
		CREATE TABLE t (a bigint, b numeric, c uuid, d mood, e older, f bytea, g jsonb, h json, i float8, j bool, k date, l inet, m text);
		INSERT INTO t VALUES (-7, 1.50, '00000000-0000-0000-0000-00000000000a', 'happy', 42, '\x00ff', '{"a": 1}', '{"a":1}', '-0', true, '2026-02-03', '10.0.0.1/8', 'it''s');
		CREATE TABLE nothing (a bigint)`)
	s := looking(t, p, db, "binary")
	columns := []stream.Text{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"}
	e := found(t, s, "t", columns...)
	if _, err := s.Key(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var fields [][]byte
	w := stream.NewRowWriter(stream.FormatBinary, func(row []byte) (err error) {
		fields, err = stream.SplitRow(stream.FormatBinary, slices.Clone(row), len(columns), nil)
		return err
	})
	if err := s.CopyTo(t.Context(), e, stream.Chunk{Format: stream.FormatBinary}, w); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	var got []string
	for i, f := range fields {
		got = append(got, s.Show(e, stream.FormatBinary, i, f))
	}
	want := []string{"-7", "1.50", "00000000-0000-0000-0000-00000000000a", "happy", "42", `\x00ff`, `{"a": 1}`, `{"a":1}`, "-0", "t", "2026-02-03", "10.0.0.1/8", "it's"}
	if !slices.Equal(got, want) {
		t.Errorf("%q instead of %q", got, want)
	}
	if got := s.Show(e, stream.FormatBinary, 0, []byte{1}); got != `\x01` {
		t.Errorf("half a number: %q", got)
	}
	if s.Find(&stream.Table{Namespace: "public", Name: "gone"}) != nil {
		t.Error("a table that isn't there was found")
	}
}

// TestShowNumeric compares with what the server prints.
func TestShowNumeric(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	values := []string{"0", "0.00", "-0.001", "1.50", "12345678901234567890.123450", "-10000", "10000.0001", "0.00000000000000000001", "1e30", "-99999999", "NaN", "123.4", "9999.9999"}
	testbed.SQL(t, p, db, "CREATE TABLE n (v numeric); INSERT INTO n VALUES ("+strings.Join(quoted(values), "), (")+")")
	s := looking(t, p, db, "binary")
	e := found(t, s, "n", "v")
	var got []string
	w := stream.NewRowWriter(stream.FormatBinary, func(row []byte) error {
		fields, err := stream.SplitRow(stream.FormatBinary, row, 1, nil)
		got = append(got, s.Show(e, stream.FormatBinary, 0, fields[0]))
		return err
	})
	if err := s.CopyTo(t.Context(), e, stream.Chunk{Format: stream.FormatBinary}, w); err != nil {
		t.Fatal(err)
	}
	want, err := p.Query(t.Context(), db, "SELECT v FROM n")
	if err != nil || len(want) != len(values) {
		t.Fatal(err)
	}
	for i := range got {
		if got[i] != want[i][0] {
			t.Errorf("%s instead of %s", got[i], want[i][0])
		}
	}
	if len(got) != len(values) {
		t.Errorf("%d of %d", len(got), len(values))
	}
}

func quoted(values []string) []string {
	var out []string
	for _, v := range values {
		out = append(out, "'"+v+"'")
	}
	return out
}
