package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// mariaState is all of a server that a dry run must leave as it is: its databases, tables and programs, and what was ever changed on it, which the
// position of its binary log tells.
func mariaState(t *testing.T, m *testbed.MariaDB) string {
	t.Helper()
	v, err := m.Value(t.Context(), "", `SELECT CONCAT_WS('\n', (SELECT GROUP_CONCAT(SCHEMA_NAME ORDER BY 1) FROM information_schema.SCHEMATA),
		(SELECT GROUP_CONCAT(CONCAT_WS(' ', TABLE_SCHEMA, TABLE_NAME, CREATE_TIME, TABLE_COMMENT) ORDER BY 1) FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ('sys', 'mysql', 'information_schema', 'performance_schema')),
		(SELECT GROUP_CONCAT(CONCAT_WS(' ', ROUTINE_SCHEMA, ROUTINE_NAME, LAST_ALTERED) ORDER BY 1) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA <> 'sys'),
		(SELECT GROUP_CONCAT(CONCAT_WS(' ', VARIABLE_NAME, VARIABLE_VALUE) ORDER BY 1) FROM information_schema.GLOBAL_STATUS
			WHERE VARIABLE_NAME RLIKE '^(com_(create|drop|alter|insert|update|delete|truncate|load|grant|lock_tables)|binlog_commits|handler_(delete|update)$)'),
		@@GLOBAL.gtid_binlog_pos)`)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestMySQLDryRun: a plan is printed, and neither target nor archive is touched. It has the servers to itself, which it compares.
func TestMySQLDryRun(t *testing.T) {
	from, src, to, dst := bazaarDatabases(t)
	testbed.MariaSQL(t, from, src, "ANALYZE TABLE customer, orders")
	dir := t.TempDir()
	report, plan := filepath.Join(dir, "report.json"), filepath.Join(dir, "plan.json")
	run := []string{"run", "--source", from.URL(src), "--target", to.URL(dst), "--dry-run"}
	unchanged := func(of ...*testbed.MariaDB) func() {
		var before []string
		for _, m := range of {
			before = append(before, mariaState(t, m))
		}
		return func() {
			t.Helper()
			for i, m := range of {
				if now := mariaState(t, m); now != before[i] {
					t.Errorf("the server is not as it was:\n%s\nbefore:\n%s", now, before[i])
				}
			}
		}
	}
	same := unchanged(from, to)
	out := mustExit(t, 0, append(run, "--split-size", "64kB", "--via", dir+"/via", "--report", plan)...)
	wantText(t, out, "pre-data   TABLE", "post-data  FK CONSTRAINT", "orders", "about ", "assumed", "dry run: nothing was changed")
	var r struct {
		Plan Plan `json:"plan"`
	}
	b, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil || len(r.Plan.Tables) != 2 || r.Plan.Tables[0].Name != "orders" || r.Plan.Tables[0].Chunks < 2 || r.Plan.Tables[0].Rows < 1000 ||
		r.Plan.Chunks != r.Plan.Tables[0].Chunks+r.Plan.Tables[1].Chunks || r.Plan.Bytes <= 0 || r.Plan.Seconds <= 0 {
		t.Errorf("the plan: %v %+v", err, r)
	}
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir+"/archive", "--dry-run")
	for _, f := range []string{"via", "archive"} {
		if _, err := os.Stat(filepath.Join(dir, f)); !os.IsNotExist(err) {
			t.Errorf("%s was made (%v)", f, err)
		}
	}
	same()
	mustExit(t, 0, "dump", "--source", from.URL(src), "--to", dir+"/archive", "--report", report)
	wantText(t, mustExit(t, 10, "dump", "--source", from.URL(src), "--to", dir+"/archive", "--dry-run"), "refused: ", "holds an archive")
	wantText(t, mustExit(t, 0, "restore", "--from", dir+"/archive", "--target", to.URL(dst), "--dry-run", "--rate-from", report), "total (2)", "the dump of ")
	wantText(t, mustExit(t, 10, "run", "--source", from.URL(src), "--target", from.URL(src), "--dry-run"), "refused: ", "not empty")
	empty := testbed.MariaDatabase(t, "", from)
	wantText(t, mustExit(t, 10, "run", "--source", from.URL(empty), "--target", from.URL(empty), "--dry-run"), "refused: ", "the same database")
	weak := account(t, to, dst, "SELECT")
	same = unchanged(from, to)
	wantText(t, mustExit(t, 12, "restore", "--from", dir+"/archive", "--target", to.URLAs(weak, canary, dst), "--dry-run"), "refused: ", "lacks ALTER")
	same()
	mustExit(t, 0, "restore", "--from", dir+"/archive", "--target", to.URL(dst))
	same = unchanged(from, to)
	wantText(t, mustExit(t, 10, run...), "refused: ", "not empty")
	same()
	mustBeEqualMaria(t, from, src, to, dst)
}
