package mytarget_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore/mytarget"
	"github.com/pgmove/pgmove/stream"
)

// TestCleanBusy: a table in use is not waited for for ever, and nothing is dropped.
func TestCleanBusy(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, "CREATE TABLE a (id int); CREATE TABLE b (id int); INSERT INTO b VALUES (1)")
	entries := []stream.Entry{entry(1, "a", "CREATE TABLE `a` (`id` int)"), entry(2, "b", "CREATE TABLE `b` (`id` int)")}
	conn, err := mysession.Parse(m.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	user, err := mysession.Connect(t.Context(), conn, mysession.Options{Role: mysession.Read})
	if err != nil {
		t.Fatal(err)
	}
	defer user.End()
	if err := user.Do(t.Context(), "START TRANSACTION"); err != nil {
		t.Fatal(err)
	}
	if _, err := user.Rows(t.Context(), "SELECT * FROM b"); err != nil {
		t.Fatal(err)
	}
	h := header()
	tgt, _ := open(t, m.URL(db), mytarget.Options{Clean: true, CleanWait: time.Second})
	err = tgt.Prepare(t.Context(), &h, entries, nil)
	if stream.KindOf(err) != stream.Preflight || !strings.Contains(err.Error(), "in use") {
		t.Errorf("with a table in use: %v", err)
	}
	tables := "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
	if n := count(t, m, db, tables); n != 2 {
		t.Errorf("there are %d tables instead of 2", n)
	}
	if err := user.Do(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Prepare(t.Context(), &h, entries, nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, m, db, tables+" AND TABLE_NAME IN ('a', 'b')"); n != 0 {
		t.Errorf("%d tables were not dropped", n)
	}
}
