package pgsource_test

import (
	"testing"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/dump/sourcetest"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const tables = `
CREATE TABLE big (id bigint PRIMARY KEY, grp int, words text);
INSERT INTO big SELECT g, g % 10, repeat('word ', g % 20) FROM generate_series(1, 12000) g;
DELETE FROM big WHERE id % 11 = 0;
CREATE TABLE no_key (a int, b text);
INSERT INTO no_key SELECT g % 3, 'twice' FROM generate_series(1, 3000) g;
CREATE TABLE nothing (id int PRIMARY KEY);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE parent (id int, at date) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF parent FOR VALUES FROM (0) TO (500);
CREATE TABLE part_2 PARTITION OF parent DEFAULT;
INSERT INTO parent SELECT g, date '2026-01-01' + g FROM generate_series(1, 1000) g;
CREATE TABLE child (extra text) INHERITS (no_key);
INSERT INTO child VALUES (1, 'of the child', 'x');
CREATE INDEX ON big (grp);
SELECT lo_from_bytea(1000 + g, convert_to(repeat('x', g * 1000), 'UTF8')) FROM generate_series(0, 40) g;
SELECT lo_from_bytea(5000, convert_to(repeat('0123456789', 60000), 'UTF8'));`

const change = `
INSERT INTO big SELECT max(id) + 1, 1, 'new' FROM big;
UPDATE big SET words = words || '!' WHERE id % 7 = 0;
DELETE FROM no_key WHERE ctid = (SELECT min(ctid) FROM ONLY no_key);
INSERT INTO nothing SELECT count(*) FROM nothing;
SELECT lo_put(1007, 3, 'changed'), lo_unlink(1008 + (SELECT count(*) FROM nothing)::int);`

func TestConformance(t *testing.T) {
	majors := []int{testbed.DefaultMajor()}
	if all := testbed.Majors(); !testing.Short() && len(all) > 0 && all[0] != majors[0] {
		majors = append(majors, all[0]) // where ranges of ctid can't be scanned, if there is one
	}
	for _, major := range majors {
		p := testbed.Shared(t, major)
		sourcetest.Exercise(t, func(t *testing.T) *sourcetest.Source {
			db := testbed.Database(t, p)
			testbed.SQL(t, p, db, tables)
			return &sourcetest.Source{
				Open: func(t *testing.T, splitSize int64) dump.Snapshot {
					conn, err := pgsession.Parse(p.URL(db))
					if err != nil {
						t.Fatal(err)
					}
					s, err := pgsource.Open(t.Context(), conn, pgsource.Options{Jobs: 2, SplitSize: splitSize})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(s.Close)
					return s
				},
				Change: func(t *testing.T) { testbed.SQL(t, p, db, change) },
			}
		})
	}
}
