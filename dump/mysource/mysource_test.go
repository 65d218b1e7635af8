package mysource_test

import (
	"testing"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/dump/sourcetest"
	"github.com/pgmove/pgmove/internal/testbed"
)

const tables = `
CREATE TABLE big (id bigint PRIMARY KEY, grp int, words text);
INSERT INTO big SELECT CAST(seq AS SIGNED) - 6000, seq % 10, REPEAT('word ', seq % 20) FROM seq_1_to_12000;
DELETE FROM big WHERE id % 11 = 0;
CREATE TABLE no_key (a int, b text);
INSERT INTO no_key SELECT seq % 3, 'twice' FROM seq_1_to_3000;
CREATE TABLE nothing (id int PRIMARY KEY);
CREATE TABLE composite (a int NOT NULL, b varchar(20) NOT NULL, c datetime NOT NULL, v varchar(50), PRIMARY KEY (a, b, c));
INSERT INTO composite SELECT seq % 2, CONCAT(ELT(seq % 6 + 1, 'a', 'Ä', 'ß', '😀', '\\', ''''), seq % 40), '2026-01-01' + INTERVAL seq SECOND, REPEAT('v', 50) FROM seq_1_to_5000;
CREATE TABLE strings (k varchar(80) CHARACTER SET ucs2 NOT NULL UNIQUE, v varchar(90));
INSERT INTO strings SELECT CONCAT(ELT(seq % 5 + 1, 'Z', 'é', 'z', ' ', '日'), seq), REPEAT('v', 90) FROM seq_1_to_3000;
CREATE TABLE wide (id bigint unsigned PRIMARY KEY, v varchar(100));
INSERT INTO wide SELECT seq * 6148914691236517, REPEAT('v', 100) FROM seq_0_to_3000;
INSERT INTO wide VALUES (18446744073709551615, 'last');
CREATE TABLE parts (id int, at date, PRIMARY KEY (at, id)) PARTITION BY HASH (id) PARTITIONS 3;
INSERT INTO parts SELECT seq, '2026-01-01' + INTERVAL seq % 500 DAY FROM seq_1_to_5000;
CREATE TABLE versioned (id int PRIMARY KEY, v varchar(100)) WITH SYSTEM VERSIONING;
INSERT INTO versioned SELECT seq, REPEAT('v', 100) FROM seq_1_to_1000;
UPDATE versioned SET v = 'new' WHERE id % 3 = 0;
ANALYZE TABLE big, no_key, nothing, composite, strings, wide, parts, versioned;`

const change = `
INSERT INTO big SELECT MAX(id) + 1, 1, 'new' FROM big;
UPDATE big SET words = CONCAT(words, '!') WHERE id % 7 = 0;
DELETE FROM no_key LIMIT 1;
UPDATE composite SET b = CONCAT(b, 'x') WHERE a = 1;
INSERT INTO nothing SELECT COUNT(*) FROM nothing;
DELETE FROM versioned WHERE id = (SELECT MIN(id) FROM versioned);`

func TestConformance(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	sourcetest.Exercise(t, func(t *testing.T) *sourcetest.Source {
		db := testbed.MariaDatabase(t, "", m)
		testbed.MariaSQL(t, m, db, tables)
		return &sourcetest.Source{
			Open: func(t *testing.T, splitSize int64) dump.Snapshot {
				return open(t, m.URL(db), mysource.Options{Jobs: 2, SplitSize: splitSize})
			},
			Change: func(t *testing.T) { testbed.MariaSQL(t, m, db, change) },
		}
	})
}
