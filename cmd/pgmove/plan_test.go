package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestDryRun: a plan is printed, and neither target nor archive is touched.
func TestDryRun(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	dir := t.TempDir()
	report, plan := filepath.Join(dir, "report.json"), filepath.Join(dir, "plan.json")
	out := mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--dry-run", "--exclude-table-data", "log", "--split-size", "500kB", "--via", dir+"/via", "--report", plan)
	wantText(t, out, "selection: --exclude-table-data log", "pre-data   TABLE", "post-data  FK CONSTRAINT", "public.orders", "rows of 1 tables are left out, as asked: public.log", "assumed", "nothing was changed")
	untouched(t, p, dst)
	var r struct {
		ExitCode int  `json:"exit_code"`
		Plan     Plan `json:"plan"`
	}
	b, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil || len(r.Plan.Tables) != 2 || r.Plan.Tables[0].Name != "public.orders" || r.Plan.Tables[0].Chunks < 2 ||
		r.Plan.Chunks != r.Plan.Tables[0].Chunks+1 || r.Plan.Bytes <= 0 || r.Plan.Seconds <= 0 {
		t.Errorf("the plan: %v %+v", err, r)
	}
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir+"/archive", "--dry-run")
	for _, f := range []string{"via", "archive"} {
		if _, err := os.Stat(filepath.Join(dir, f)); !os.IsNotExist(err) {
			t.Errorf("%s was made (%v)", f, err)
		}
	}
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir+"/archive", "--report", report)
	wantText(t, mustExit(t, 10, "dump", "--source", p.URL(src), "--to", dir+"/archive", "--dry-run"), "refused: ", "holds an archive")
	wantText(t, mustExit(t, 0, "restore", "--from", dir+"/archive", "--target", p.URL(dst), "--dry-run", "--rate-from", report, "--section", "pre-data"),
		"selection: --section pre-data", "total (0)", "the dump of ")
	wantText(t, mustExit(t, 3, "restore", "--from", dir+"/archive", "--target", p.URL(dst), "--dry-run", "--rate-from", plan), "--rate-from")
	wantText(t, mustExit(t, 10, "restore", "--from", dir+"/archive", "--target", p.URL(dst), "--dry-run", "--data-only"), "refused: ", "missing on the target")
	untouched(t, p, dst)
	mustExit(t, 0, "restore", "--from", dir+"/archive", "--target", p.URL(dst))
	wantText(t, mustExit(t, 10, "run", "--source", p.URL(src), "--target", p.URL(dst), "--dry-run"), "refused: ", "not empty")
	wantText(t, mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--dry-run", "--clean"), "--clean replaces 3 tables")
	testbed.MustBeEqual(t, p, src, p, dst)
}
