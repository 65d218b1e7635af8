package mytarget_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/restore/mytarget"
	"github.com/pgmove/pgmove/restore/targettest"
	"github.com/pgmove/pgmove/stream"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func open(t *testing.T, url string, o mytarget.Options) (*mytarget.Target, func()) {
	t.Helper()
	conn, err := mysession.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	tgt, err := mytarget.Open(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	closeIt := func() { once.Do(tgt.Close) }
	t.Cleanup(closeIt)
	return tgt, closeIt
}

func TestConformance(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	targettest.Exercise(t, func(t *testing.T) *targettest.Target { return fresh(t, m) })
}

func count(t *testing.T, m *testbed.MariaDB, db, sql string) int {
	t.Helper()
	s, err := m.Value(t.Context(), db, sql)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func header() stream.Header {
	return stream.Header{Run: "3f0e5d5e-0000-4000-8000-000000000000", Engine: mytarget.Engine, Tool: "test",
		Source: stream.Source{Database: "it's", Encoding: "utf8mb4", Snapshot: "rung=single-session"}}
}

func fresh(t *testing.T, m *testbed.MariaDB) *targettest.Target {
	db := testbed.MariaDatabase(t, "", m)
	table := stream.Table{Name: "t", Columns: []stream.Text{"id", "words"}}
	opened := func(resume bool) func(t *testing.T) (restore.Target, func()) {
		return func(t *testing.T) (restore.Target, func()) {
			return open(t, m.URL(db), mytarget.Options{Sessions: 2, Resume: resume})
		}
	}
	return &targettest.Target{
		Open:   opened(false),
		Resume: opened(true),
		Header: header(),
		Create: entry(1, "t", "CREATE TABLE `t` (id int, words text)"),
		Other:  entry(2, "other", "CREATE TABLE `other` (id int)"),
		Broken: entry(3, "broken", "CREATE TABLE `broken` (id no_such_type)"),
		Data: stream.Entry{ID: 4, Section: stream.Data, Desc: "TABLE DATA", Tag: "t", Dependencies: []stream.DumpID{1},
			CopyStmt: stream.Text(mysession.LoadStmt("t", []string{"id", "words"}, nil)), Table: &table},
		Row:      func(i int) []byte { return fmt.Appendf(nil, "%d\tthe words of row %d\n", i, i) },
		Format:   stream.FormatText,
		OneByOne: true,
		Tables: func(t *testing.T) int {
			return count(t, m, db, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('t', 'other')")
		},
		Rows:     func(t *testing.T) int { return count(t, m, db, "SELECT COUNT(*) FROM t") },
		TakeOver: func(t *testing.T) { testbed.MariaSQL(t, m, db, "UPDATE pgmove_ledger_run SET epoch = epoch + 1") },
		Occupy:   func(t *testing.T) { testbed.MariaSQL(t, m, db, "CREATE TABLE users_own (id int)") },
		Ledger: func(t *testing.T) int {
			if count(t, m, db, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'pgmove%'") == 0 {
				return -1
			}
			return count(t, m, db, "SELECT COUNT(*) FROM pgmove_ledger_taken")
		},
	}
}

func entry(id stream.DumpID, name, sql string) stream.Entry {
	return stream.Entry{ID: id, Section: stream.PreData, Desc: "TABLE", Tag: stream.Text(name), Defn: stream.Text(sql), AccessMethod: "InnoDB", Relkind: 'r'}
}

// TestFencedUncovered: a process whose run was taken over adds no row to a table that has no transactions.
func TestFencedUncovered(t *testing.T) {
	g := fresh(t, testbed.SharedMariaDB(t, 0))
	g.Create.Defn, g.Create.AccessMethod = "CREATE TABLE `t` (id int, words text) ENGINE=MyISAM", "MyISAM"
	targettest.Fenced(t, g)
}
