package mysource_test

import (
	"testing"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

// TestMove: what a source hands out makes the same database on another server, by the oracle.
func TestMove(t *testing.T) {
	from, to := testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
	db := testbed.MariaDatabase(t, "", from, to)
	testbed.MariaFixture(t, from, db)
	s := open(t, from.URL(db), mysource.Options{Jobs: 2, SplitSize: 32 << 10})
	h, entries := entriesOf(t, s)
	move(t, s, entries, newTarget(t, to, db))
	d, err := testbed.MariaDifference(t.Context(), from, db, to, db)
	if err != nil {
		t.Fatal(err)
	}
	if d != "" {
		t.Errorf("source and target differ:\n%s", d)
	}
	if h.Engine != mysource.Engine || h.Source.SystemID == "" || h.Source.VersionNum < 10110000 || h.Source.DumpTool == "" {
		t.Errorf("the header is %+v", h)
	}
	if want := (stream.RoleUse{Name: "`no body`@`%`", Owner: true}); len(h.Source.Roles) != 2 || h.Source.Roles[0] != want {
		t.Errorf("the accounts are %+v", h.Source.Roles)
	}
	again := open(t, to.URL(db), mysource.Options{})
	_, moved := entriesOf(t, again)
	if len(moved) != len(entries) {
		t.Errorf("%d entries instead of %d", len(moved), len(entries))
	}
	for i := range min(len(moved), len(entries)) {
		if e, m := &entries[i], &moved[i]; e.Defn != m.Defn || e.CopyStmt != m.CopyStmt || e.Name() != m.Name() {
			t.Errorf("%s %s is\n%s\nand was\n%s", e.Desc, e.Name(), m.Defn, e.Defn)
		}
	}
}

// TestValidate: a target that is read back compares, also one of another name; and what was harmed doesn't.
func TestValidate(t *testing.T) {
	from, to := testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
	db := testbed.MariaDatabase(t, "", from)
	testbed.MariaFixture(t, from, db)
	other := testbed.MariaDatabase(t, "", to)
	s := open(t, from.URL(db), mysource.Options{Jobs: 2})
	_, entries := entriesOf(t, s)
	move(t, s, entries, newTarget(t, to, other))
	want, err := dump.Measure(t.Context(), open(t, from.URL(db), mysource.Options{Jobs: 2, SplitSize: 40 << 10}), dump.Options{Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	check := func() *validate.Result {
		t.Helper()
		target := open(t, to.URL(other), mysource.Options{Jobs: 2, Uncovered: true, Side: "validate"})
		res, err := validate.Run(t.Context(), want, target, validate.Options{Level: validate.Digest, Jobs: 2})
		if err != nil {
			t.Fatal(err)
		}
		target.Close()
		return res
	}
	res := check()
	if err := res.Err(); err != nil || len(res.Warnings) > 0 || len(res.Tables) < 38 || res.Sequences < 10 || res.Schema < 75 {
		t.Errorf("%v; warnings %v; %d tables, %d sequences, %d entries", err, res.Warnings, len(res.Tables), res.Sequences, res.Schema)
	}
	testbed.MariaSQL(t, to, other, `SET foreign_key_checks = 0; UPDATE floats SET f = f + 1e-9 WHERE f BETWEEN 1e-9 AND 1e-3 LIMIT 1; DELETE FROM no_key LIMIT 1;
		DROP TRIGGER a_second; ALTER TABLE composite DROP KEY v; ALTER TABLE empty_auto AUTO_INCREMENT = 2000; DROP TABLE egg; ALTER TABLE charsets ADD x int;
		CREATE TABLE extra (a int)`)
	res = check()
	if n := len(res.Mismatches); n < 8 {
		t.Errorf("%d mismatches: %v", n, res.Err())
	}
}
