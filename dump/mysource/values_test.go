package mysource_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// floats reads a table of floats over the binary protocol, bit by bit.
func (g *target) floats() map[int64]string {
	g.t.Helper()
	rows, err := g.conn.QueryContext(g.t.Context(), "SELECT id, f, d FROM floats WHERE id > ?", -1)
	if err != nil {
		g.t.Fatal(err)
	}
	defer rows.Close()
	out := map[int64]string{}
	for rows.Next() {
		var id int64
		var f float32
		var d float64
		if err := rows.Scan(&id, &f, &d); err != nil {
			g.t.Fatal(err)
		}
		out[id] = fmt.Sprintf("%08x %016x", math.Float32bits(f), math.Float64bits(d))
	}
	if err := rows.Err(); err != nil {
		g.t.Fatal(err)
	}
	return out
}

// TestFloatBits: floats of random bits arrive as they were, to the bit.
func TestFloatBits(t *testing.T) {
	from, to := testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
	db := testbed.MariaDatabase(t, "", from, to)
	testbed.MariaSQL(t, from, db, "CREATE TABLE floats (id int PRIMARY KEY, f float, d double)")
	src := newTarget(t, from, db)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	want := map[int64]string{}
	const batch = 200
	for n := int64(0); n < 4000; n += batch {
		var args []any
		for id := n; id < n+batch; id++ {
			fb, db := random.Uint32(), random.Uint64()
			switch id {
			case 1: // MariaDB keeps no minus zero
				fb, db = 1, 1 // the least there are
			case 2:
				fb, db = math.Float32bits(math.MaxFloat32), math.Float64bits(math.MaxFloat64)
			}
			f, d := math.Float32frombits(fb), math.Float64frombits(db)
			for math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) || math.IsNaN(d) || math.IsInf(d, 0) {
				f, d = math.Float32frombits(random.Uint32()), math.Float64frombits(random.Uint64())
			}
			want[id] = fmt.Sprintf("%08x %016x", math.Float32bits(f), math.Float64bits(d))
			args = append(args, id, f, d)
		}
		if _, err := src.conn.ExecContext(t.Context(), "INSERT INTO floats VALUES "+strings.TrimSuffix(strings.Repeat("(?, ?, ?), ", batch), ", "), args...); err != nil {
			t.Fatal(err)
		}
	}
	for id, bits := range src.floats() {
		if bits != want[id] {
			t.Fatalf("row %d is on the source already %s instead of %s", id, bits, want[id])
		}
	}
	s := open(t, from.URL(db), mysource.Options{})
	_, entries := entriesOf(t, s)
	dst := newTarget(t, to, db)
	move(t, s, entries, dst)
	got := dst.floats()
	if len(got) != len(want) {
		t.Errorf("%d rows instead of %d", len(got), len(want))
	}
	for id, bits := range want {
		if got[id] != bits {
			t.Errorf("row %d is %s instead of %s", id, got[id], bits)
		}
	}
}

// chunk reads a whole table.
func chunk(t *testing.T, s *mysource.Source, entries []stream.Entry, table string) (*stream.Entry, []byte) {
	t.Helper()
	for i := range entries {
		if e := &entries[i]; e.Table != nil && string(e.Tag) == table {
			var b bytes.Buffer
			if err := s.CopyTo(t.Context(), e, stream.Chunk{Format: stream.FormatText}, &b); err != nil {
				t.Fatal(err)
			}
			return e, b.Bytes()
		}
	}
	t.Fatalf("no rows of %s", table)
	return nil, nil
}

// TestRowFormat: the text of rows, as the archive keeps it and LOAD DATA reads it, tells all values apart.
func TestRowFormat(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, `SET sql_mode = ''; CREATE TABLE v (id int PRIMARY KEY, b varbinary(20), t varchar(20) CHARACTER SET latin1, e enum('a','0'), y year, f float) ;
		INSERT INTO v VALUES (1, 'a\tb\nc\\d\r\0', 'ä', 'a', 2024, 3.14159265), (2, NULL, '\\N', 0, 0, NULL), (3, '', '', '0', 1901, 0.1);
		CREATE TABLE g (a int AS (1)); INSERT INTO g VALUES (), ()`)
	s := open(t, m.URL(db), mysource.Options{})
	_, entries := entriesOf(t, s)
	e, got := chunk(t, s, entries, "v")
	want := "1\ta\\tb\\nc\\\\d\r\x00\t\xe4\ta\t2024\t3.1415927410125732\n2\t\\N\t\\\\N\t00\t0000\t\\N\n3\t\t\t0\t1901\t0.10000000149011612\n"
	if string(got) != want {
		t.Errorf("the rows are\n%q instead of\n%q", got, want)
	}
	stmt := "LOAD DATA LOCAL INFILE '' INTO TABLE `v` CHARACTER SET binary FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' STARTING BY '' " +
		"(`id`, `b`, `t`, @v4, `y`, `f`) SET `e` = IF(@v4 = CAST(CONVERT('00' USING utf8mb4) AS BINARY) AND (@pgmove_zeros := COALESCE(@pgmove_zeros, 0) + 1) < 1, NULL, @v4)"
	if string(e.CopyStmt) != stmt {
		t.Errorf("they are loaded by\n%s", e.CopyStmt)
	}
	if _, got := chunk(t, s, entries, "g"); string(got) != "\n\n" {
		t.Errorf("rows without columns are %q", got)
	}
}

// TestOracle: the oracle that the other tests rely on sees what they would have to see.
func TestOracle(t *testing.T) {
	a, b := testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
	db := testbed.MariaDatabase(t, "", a, b)
	testbed.MariaFixture(t, a, db)
	testbed.MariaFixture(t, b, db)
	const pasts = "^(versioned|versioned_columns|generated)$" // they hold when they were made
	same, err := testbed.MariaDifference(t.Context(), a, db, b, db, pasts)
	if err != nil || same != "" {
		t.Fatalf("two loads of the fixture differ (%v):\n%s", err, same)
	}
	for _, harm := range []string{
		"UPDATE all_types SET f = f + 0.000001 WHERE id = 4", "UPDATE bytes SET b = CONCAT(b, '\\0') WHERE id = 7", "DELETE FROM no_key LIMIT 1",
		"UPDATE charsets SET en = NULL WHERE id = 3", "UPDATE all_types SET tx = '' WHERE id = 1", "ALTER TABLE empty_auto AUTO_INCREMENT = 1001",
		"DROP TRIGGER a_second", "ALTER TABLE tree DROP FOREIGN KEY own", "ALTER EVENT never ENABLE", "ALTER VIEW latin_view AS SELECT 'cafe' AS word",
	} {
		if err := b.Exec(t.Context(), db, "SET foreign_key_checks = 0; "+harm); err != nil {
			t.Fatal(err)
		}
		d, err := testbed.MariaDifference(t.Context(), a, db, b, db, pasts)
		if err != nil || d == same {
			t.Errorf("the oracle doesn't see %s (%v)", harm, err)
		}
		same = d
	}
}

// TestSetNumbers: sets that have an empty member are read as whole numbers, however great.
func TestSetNumbers(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	members := "''"
	for i := 1; i < 64; i++ {
		members += fmt.Sprintf(",'m%d'", i)
	}
	testbed.MariaSQL(t, m, db, "CREATE TABLE sets (id int PRIMARY KEY, s set("+members+")); INSERT INTO sets VALUES (1, 2097152), (2, 18446744073709551615), (3, 0), (4, NULL)")
	s := open(t, m.URL(db), mysource.Options{Jobs: 1})
	_, entries := entriesOf(t, s)
	if _, rows := chunk(t, s, entries, "sets"); string(rows) != "1\t2097152\n2\t18446744073709551615\n3\t0\n4\t\\N\n" {
		t.Errorf("the rows are %q", rows)
	}
}
