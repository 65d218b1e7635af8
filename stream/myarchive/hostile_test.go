package myarchive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/myarchive"
)

// memory is a store of a few objects.
type memory map[string]string

func (m memory) Get(_ context.Context, key string, offset int64) (io.ReadCloser, error) {
	b, ok := m[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, stream.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader([]byte(b)[min(offset, int64(len(b))):])), nil
}

func (m memory) List(context.Context, string) ([]stream.ObjectInfo, error) {
	var out []stream.ObjectInfo
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, stream.ObjectInfo{Key: key, Size: int64(len(m[key]))})
	}
	return out, nil
}

func (m memory) Put(context.Context, string, io.Reader) error { return io.ErrClosedPipe }
func (m memory) Delete(context.Context, string) error         { return io.ErrClosedPipe }

const (
	head  = "/*!40101 SET NAMES binary*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n\n"
	zone  = "/*!40103 SET TIME_ZONE='+00:00' */;\n"
	table = "CREATE TABLE `t` (\n  `a` int(11) DEFAULT NULL COMMENT 'select; (table)',\n  `at` timestamp NULL DEFAULT NULL\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 /*!50100 PARTITION BY HASH (`a`) */;\n"
)

// dumped is a dump that is sound, with other files in it or in place of its own.
func dumped(files memory) memory {
	m := memory{
		"metadata":                  "Started dump at: 2026-01-01 00:00:00\nFinished dump at: 2026-01-01 00:00:01\n",
		"app-schema-create.sql":     "CREATE DATABASE `app` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;\n",
		"app.t-schema.sql":          head + table,
		"app.t.sql":                 head + zone + "INSERT INTO `t` VALUES\n(1,NULL);\n",
		"app.seq-schema.sql":        head + "CREATE SEQUENCE IF NOT EXISTS `seq` start with 1 minvalue 1 maxvalue 9 increment by 1 cache 1000 nocycle ENGINE=InnoDB;\nDO SETVAL(`seq`, 41, 0, 0);\n",
		"app-schema-post.sql":       "SET @PREV_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT;\nSET SESSION sql_mode = 'ANSI,STRICT_ALL_TABLES', time_zone = '+00:00', character_set_client = utf8mb4;\nSET collation_connection = utf8mb4_general_ci;\nDROP FUNCTION IF EXISTS `f`;\nCREATE DEFINER=`me`@`%` FUNCTION `f`() RETURNS int(11)\nBEGIN\n RETURN 1; \nEND;\nSET character_set_client = @PREV_CHARACTER_SET_CLIENT;\n",
		"app.t-schema-triggers.sql": "CREATE DEFINER=`me`@`%` TRIGGER app.trg BEFORE INSERT ON `app`.t FOR EACH ROW SET NEW.a = 1;\n",
		"app.v-schema-view.sql":     "CREATE ALGORITHM=UNDEFINED DEFINER=`me`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1 AS `1`;\n",
	}
	maps.Copy(m, files)
	return m
}

func open(t *testing.T, m memory) (*stream.Reader, []string, error) {
	t.Helper()
	r, _, warnings, err := myarchive.Open(t.Context(), m, "there")
	return r, warnings, err
}

// TestSound: what mydumper writes is taken, and the dump's own database is not named in what is made.
func TestSound(t *testing.T) {
	t.Parallel()
	r, _, err := open(t, dumped(nil))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := r.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"TRIGGER": "TRIGGER trg BEFORE INSERT ON t FOR EACH ROW", "FUNCTION": "SET SESSION sql_mode = 'ANSI,STRICT_ALL_TABLES', time_zone = '+00:00', character_set_client = utf8mb4, collation_connection = utf8mb4_general_ci;\n"}
	for _, e := range entries {
		if w := want[string(e.Desc)]; w != "" && strings.Contains(string(e.Defn), w) {
			delete(want, string(e.Desc))
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v in %+v", want, entries)
	}
}

// TestHostile: what would write into another database, run something or set something is refused before a target is touched.
func TestHostile(t *testing.T) {
	t.Parallel()
	for file, list := range map[string][]string{
		"app.t-schema.sql": {
			"CREATE TABLE `other`.`t` (a int)", "CREATE TABLE `other` . `t` (a int)", "CREATE TABLE `t`/**/.`x` (a int)", "CREATE TABLE `t` (a int) SELECT 1", "CREATE TABLE `t` (a int) AS TABLE x",
			"CREATE TABLE `t` (a int) /*!50000 AS SELECT 1 */", "CREATE TABLE `t` (a int) ENGINE=MERGE UNION=(`other`.`t`)", "CREATE TABLE `t` LIKE `other`.`t`", "/*!50000 CREATE TABLE `t` (a int) */",
		},
		"app.seq-schema.sql": {"CREATE SEQUENCE `other`.`seq`", "CREATE SEQUENCE `seq`/**/.`x` start with 1", "DO SETVAL(`other`.`seq`, 1)", "DO SETVAL(`seq`, (SELECT 1))", "DO SETVAL(`seq`, 1), f()"},
		"app-schema-post.sql": {
			"CREATE PROCEDURE `other`.`p`() SELECT 1", "CREATE PROCEDURE other.p() SELECT 1", "CREATE PROCEDURE `app`/**/.`p`() SELECT 1", "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'",
			"CREATE TRIGGER x BEFORE INSERT ON `other`.`t` FOR EACH ROW SET @a = 1", "CREATE TRIGGER other.x BEFORE INSERT ON t FOR EACH ROW SET @a = 1", "CREATE VIEW `other`.`v` AS SELECT 1",
			"CREATE EVENT `other`.`e` ON SCHEDULE EVERY 1 DAY DO SELECT 1", "/*!50003 CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a = 1 */",
			"SET sql_mode = '', GLOBAL read_only = 1", "SET SESSION sql_mode = '' , @@GLOBAL.read_only = 1", "SET sql_mode = (SELECT 1)", "SET time_zone = '\\', x", "SET sql_mode = @a, GLOBAL read_only = 1",
		},
	} {
		for _, sql := range list {
			if _, _, err := open(t, dumped(memory{file: head + sql + ";\n"})); stream.KindOf(err) != stream.Preflight {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
	for sql, good := range map[string]bool{
		"INTO TABLE `t` CHARACTER SET binary FIELDS TERMINATED BY '\\t' LINES TERMINATED BY '\\n' (`a`,@b) SET `at` = CONVERT(@b USING utf8mb4)": true,
		"INTO TABLE `t` . `x` (a)": false, "INTO TABLE `t`.`x` FIELDS TERMINATED BY ','": false, "INTO TABLE `t` (@a) SET a = f(@a)": false,
		"INTO TABLE `t` (@a) SET a = `o`.`f`(@a)": false, "INTO TABLE `t` (@a) SET a = (SELECT 1)": false,
	} {
		_, _, err := open(t, dumped(memory{"app.t.sql": head + zone + "LOAD DATA LOCAL INFILE 'app.t.dat' " + sql + ";\n", "app.t.dat": ""}))
		if good != (err == nil) {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// TestIncomplete: a table whose rows are missing, by what the dump says of them, is no sound dump's.
func TestIncomplete(t *testing.T) {
	t.Parallel()
	ended := "# Finished dump at: 2026-01-01 00:00:01\n"
	for name, text := range map[string]string{"metadata": "[config]\nquote-character = BACKTICK\n\n[`app`.`t`]\nreal_table_name=t\nrows = 5\n\n" + ended, "app.t-metadata": "5"} {
		m := dumped(memory{name: text})
		if _, _, err := open(t, m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		delete(m, "app.t.sql")
		if _, _, err := open(t, m); stream.KindOf(err) != stream.Integrity {
			t.Errorf("%s without rows: %v", name, err)
		}
		m[name] = strings.Replace(text, "5", "0", 1)
		if _, _, err := open(t, m); err != nil {
			t.Errorf("%s of an empty table: %v", name, err)
		}
	}
}

// TestZones: TIMESTAMPs of an unknown time zone are refused.
func TestZones(t *testing.T) {
	t.Parallel()
	insert, load := "INSERT INTO `t` VALUES (1,'2026-01-01 00:00:00');\n", "LOAD DATA LOCAL INFILE 'app.t.dat' INTO TABLE `t` FIELDS TERMINATED BY ',' (`a`,`at`);\n"
	for _, c := range []struct {
		rows memory
		good bool
	}{
		{memory{"app.t.sql": head + insert}, false}, {memory{"app.t.sql": head + zone + insert}, true}, {memory{"app.t.sql": head + insert + zone}, false}, {memory{"app.t.sql": head}, true}, {memory{"app.t.sql": insert}, false},
		{memory{"app.t.sql": head + load, "app.t.dat": ""}, false}, {memory{"app.t.sql": head + zone + load, "app.t.dat": ""}, true},
		{memory{"app.t.sql": head + insert, "app.t-schema.sql": "CREATE TABLE `t` (\n  `timestamp` datetime\n);\n"}, true},
	} {
		if _, _, err := open(t, dumped(c.rows)); c.good != (err == nil) || err != nil && !strings.Contains(err.Error(), "--skip-tz-utc") {
			t.Errorf("%v: %v", c.rows, err)
		}
	}
}

// TestLines: a carriage return before a newline within a statement stays, and a semicolon before it ends none.
func TestLines(t *testing.T) {
	t.Parallel()
	body := "CREATE FUNCTION `f`() RETURNS int(11)\r\nBEGIN\r\n DECLARE i int;\r\n RETURN 'a\r\nb';\r\nEND"
	spaced := strings.ReplaceAll(body, ";\r\n", "; \r\n")
	for _, c := range [][3]string{{head, body, body}, {"SET NAMES utf8;\r\n", spaced, strings.ReplaceAll(spaced, "\r\n", "\n")}} {
		before, body, want := c[0], c[1], c[2]
		r, _, err := open(t, dumped(memory{"app-schema-post.sql": before + body + ";\n"}))
		if err != nil {
			t.Error(err)
			continue
		}
		entries, err := r.Entries(t.Context())
		if err != nil || !slices.ContainsFunc(entries, func(e stream.Entry) bool { return strings.HasSuffix(string(e.Defn), ";\n"+want) }) {
			t.Errorf("%q is not there: %v", want, err)
		}
	}
}
