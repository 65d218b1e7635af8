package mysource_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// TestCheckSplit: a plan is taken as Split made it, and not where anything of it was changed, since it becomes SQL.
func TestCheckSplit(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, tables+"CREATE TABLE `x` (`or``d x < 1 AND` decimal(10,3) NOT NULL, `1 < X'00'` date NOT NULL, v varchar(200), PRIMARY KEY (`or``d x < 1 AND`, `1 < X'00'`));"+
		"INSERT INTO x SELECT seq / 7, '2026-01-01' + INTERVAL seq DAY, REPEAT('v', 200) FROM seq_1_to_1000; ANALYZE TABLE x")
	s := open(t, m.URL(db), mysource.Options{SplitSize: 16 << 10})
	_, entries := entriesOf(t, s)
	cut := 0
	for i := range entries {
		e := &entries[i]
		if e.Table == nil {
			continue
		}
		chunks, err := s.Split(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CheckSplit(t.Context(), e, chunks); err != nil {
			t.Errorf("%s in %d chunks: %v", e.Name(), len(chunks), err)
		}
		if len(chunks) < 3 {
			continue
		}
		cut++
		for what, harm := range map[string]func([]stream.Chunk) []stream.Chunk{
			"a condition more": func(c []stream.Chunk) []stream.Chunk { c[1].Range += " AND SLEEP(9)"; return c },
			"another one":      func(c []stream.Chunk) []stream.Chunk { c[0].Range = "1 = 1"; return c },
			"none":             func(c []stream.Chunk) []stream.Chunk { c[0].Range = ""; return c },
			"a subquery": func(c []stream.Chunk) []stream.Chunk {
				for i := range c {
					at := strings.LastIndex(string(c[i].Range), "< ")
					if at >= 0 {
						c[i].Range = c[i].Range[:at] + "< (SELECT 1)"
					}
				}
				return c
			},
			"the first missing": func(c []stream.Chunk) []stream.Chunk { return c[1:] },
			"one missing":       func(c []stream.Chunk) []stream.Chunk { return slices.Delete(c, 1, 2) },
			"the last missing":  func(c []stream.Chunk) []stream.Chunk { return c[:len(c)-1] },
			"one alone":         func(c []stream.Chunk) []stream.Chunk { return c[1:2] },
		} {
			if err := s.CheckSplit(t.Context(), e, harm(slices.Clone(chunks))); err == nil {
				t.Errorf("%s: a plan with %s is taken", e.Name(), what)
			}
		}
	}
	if cut < 5 {
		t.Errorf("only %d tables were cut", cut)
	}
}
