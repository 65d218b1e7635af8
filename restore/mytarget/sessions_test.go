package mytarget_test

import (
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore/mytarget"
	"github.com/pgmove/pgmove/stream"
)

// TestTwoOfOneRun: an archive that is restored to two databases of a server is one run in both. Who resumes in the one ends the
// sessions that an earlier process left there, and leaves those in the other alone.
func TestTwoOfOneRun(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	value := func(sql string) string {
		t.Helper()
		v, err := m.Value(t.Context(), "", sql)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	entries := []stream.Entry{entry(1, "a", "CREATE TABLE `a` (`id` int)"), entry(2, "b", "CREATE TABLE `b` (`id` int)")}
	dbs := []string{testbed.MariaDatabase(t, "", m), testbed.MariaDatabase(t, "", m)}
	var loads []string // connections
	for _, db := range dbs {
		h := header()
		tgt, _ := open(t, m.URL(db), mytarget.Options{Sessions: 2})
		if err := tgt.Prepare(t.Context(), &h, entries, nil); err != nil {
			t.Fatal(err)
		}
		if err := tgt.Exec(t.Context(), []*stream.Entry{&entries[0]}); err != nil {
			t.Fatal(err)
		}
		loads = append(loads, value("SELECT MAX(ID) FROM information_schema.PROCESSLIST WHERE DB = '"+db+"' HAVING COUNT(*) = 2"))
	}
	// The process at the first one loses the session that has the run's lock.
	testbed.MariaSQL(t, m, "", "KILL "+value("SELECT MIN(ID) FROM information_schema.PROCESSLIST WHERE DB = '"+dbs[0]+"'"))
	tgt, _ := open(t, m.URL(dbs[0]), mytarget.Options{Sessions: 2, Resume: true})
	if prior, err := tgt.Left(t.Context()); err != nil || prior == nil {
		t.Fatalf("what was left: %v, %v", prior, err)
	}
	for i, want := range []string{"0", "1"} {
		if n := value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = " + loads[i]); n != want {
			t.Errorf("database %d: %s sessions load, and not %s", i+1, n, want)
		}
	}
}
