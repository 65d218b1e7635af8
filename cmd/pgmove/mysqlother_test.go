package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestMySQLOtherKind: what a dump of MySQL holds and MariaDB doesn't know, or would leave out without a word, is refused by name
// before the target is touched.
func TestMySQLOtherKind(t *testing.T) {
	from, to := mariaServers(t)
	src, dst := testbed.MariaDatabase(t, "", from), testbed.MariaDatabase(t, "", to)
	testbed.MariaSQL(t, from, src, "CREATE TABLE t (a int, b varchar(5)) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci; INSERT INTO t VALUES (1, 'x')")
	dir := t.TempDir() + "/a"
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir)
	if err := os.RemoveAll(dir + "/pgmove"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, src+".t-schema.sql")
	schema, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, with, want string }{
		{"`a` int(11)", "`a` int(11) /*!80023 INVISIBLE */", "/*!80023 INVISIBLE */ of table t"},
		{"COLLATE=utf8mb4_general_ci", "COLLATE=utf8mb4_0900_ai_ci", "collations: utf8mb4_0900_ai_ci"},
	} {
		changed := strings.Replace(string(schema), c.old, c.with, 1)
		if changed == string(schema) {
			t.Fatalf("the table's file doesn't hold %s:\n%s", c.old, schema)
		}
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		wantText(t, mustExit(t, 10, "restore", "--from", dir, "--target", to.URL(dst)), "doesn't know ", c.want)
		untouchedMaria(t, to, dst)
	}
}
