package mysource_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// twins are two tables that each transaction changes alike.
const twins = `CREATE TABLE a (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, v int); CREATE TABLE b LIKE a;
	INSERT INTO a SELECT seq, seq FROM seq_1_to_3000; INSERT INTO b SELECT * FROM a; ANALYZE TABLE a, b`

// write changes both twins until the function that it returns is called.
func write(t *testing.T, m *testbed.MariaDB, db string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for n := range 2 {
		g := newTarget(t, m, db)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := n; ctx.Err() == nil; i += 2 {
				tx, err := g.conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
				if err != nil {
					continue
				}
				for _, q := range []string{"UPDATE a SET v = v + 1 WHERE id = %d", "UPDATE b SET v = v + 1 WHERE id = %d", "INSERT INTO a VALUES (%[1]d + 10000, 0)", "INSERT INTO b VALUES (%[1]d + 10000, 0)"} {
					_, err = tx.ExecContext(ctx, fmt.Sprintf(q, i))
				}
				if err == nil {
					_ = tx.Commit()
				} else {
					_ = tx.Rollback()
				}
			}
		}()
	}
	return func() { cancel(); wg.Wait() }
}

// twinDigests reads the twins, all chunks at a time.
func twinDigests(t *testing.T, s *mysource.Source, entries []stream.Entry) map[string]stream.Digest {
	t.Helper()
	out := map[string]stream.Digest{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(t.Context())
	for i := range entries {
		e := &entries[i]
		if e.Table == nil {
			continue
		}
		chunks, err := s.Split(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			g.Go(func() error {
				d := stream.NewDigester(c.Format)
				if err := s.CopyTo(ctx, e, c, d); err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				sum := out[e.Name()]
				sum.Add(d.Digest())
				out[e.Name()] = sum
				return d.Close()
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLadder: on every rung all sessions see one moment, while others write.
func TestLadder(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	for _, rung := range []mysource.Rung{mysource.BackupStage, mysource.FlushTables, mysource.LockTables, mysource.BinlogSnapshot, mysource.Single} {
		t.Run(string(rung), func(t *testing.T) {
			db := testbed.MariaDatabase(t, "", m)
			testbed.MariaSQL(t, m, db, twins)
			stop := write(t, m, db)
			defer stop()
			for range 3 {
				s := open(t, m.URL(db), mysource.Options{Jobs: 4, SplitSize: 32 << 10, Ladder: []mysource.Rung{rung}})
				h, entries := entriesOf(t, s)
				if !strings.HasPrefix(h.Source.Snapshot, "rung="+string(rung)+" file=binlog.") || !strings.Contains(h.Source.Snapshot, " position=") || !strings.Contains(h.Source.Snapshot, " gtid=0-1-") {
					t.Errorf("the snapshot is %q", h.Source.Snapshot)
				}
				got := twinDigests(t, s, entries)
				if got["a"] != got["b"] || got["a"].Rows < 3000 {
					t.Errorf("the twins differ: %v and %v", got["a"], got["b"])
				}
				if err := s.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// account makes an account with privileges on a database and returns the URL for it.
func account(t *testing.T, m *testbed.MariaDB, name, db string, grants ...string) string {
	t.Helper()
	testbed.MariaSQL(t, m, "", "CREATE USER "+name+" IDENTIFIED BY 'pw'")
	t.Cleanup(func() {
		if err := m.Exec(context.Background(), "", "DROP USER "+name); err != nil {
			t.Error(err)
		}
	})
	for _, g := range grants {
		testbed.MariaSQL(t, m, "", "GRANT "+g+" TO "+name)
	}
	return m.URLAs(name, "pw", db)
}

// TestPrivileges: with fewer privileges a lower rung is taken; with too few the source is refused.
func TestPrivileges(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, twins)
	on := " ON `" + strings.ReplaceAll(db, "_", "\\_") + "`.*"
	for i, c := range []struct {
		grants []string
		rung   mysource.Rung
	}{
		{[]string{"SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE" + on}, mysource.BinlogSnapshot},
		{[]string{"SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES" + on}, mysource.LockTables},
		{[]string{"SELECT, SHOW VIEW, TRIGGER, EVENT, RELOAD ON *.*"}, mysource.BackupStage},
		{[]string{"ALL" + on}, mysource.LockTables},
	} {
		url := account(t, m, fmt.Sprintf("reader%d", i), db, c.grants...)
		h, _ := entriesOf(t, open(t, url, mysource.Options{Jobs: 2}))
		if !strings.HasPrefix(h.Source.Snapshot, "rung="+string(c.rung)+" ") {
			t.Errorf("with %v the snapshot is %q", c.grants, h.Source.Snapshot)
		}
	}
	for i, grants := range []string{"SELECT, SHOW VIEW, EVENT" + on, "SELECT ON `" + db + "`.a", "SHOW VIEW, TRIGGER, EVENT, EXECUTE" + on, "SELECT, SHOW VIEW, TRIGGER, EVENT" + on} {
		conn, err := mysession.Parse(account(t, m, fmt.Sprintf("blind%d", i), db, grants))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := mysource.Open(t.Context(), conn, mysource.Options{}); stream.KindOf(err) != stream.Denied {
			t.Errorf("with %s: %v", grants, err)
			s.Close()
		}
	}
	// What no snapshot covers must be locked; what an account may not see is no less there.
	url := account(t, m, "nolock", db, "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE"+on)
	testbed.MariaSQL(t, m, db, "CREATE PROCEDURE p() SELECT 1")
	if _, _, err := open(t, url, mysource.Options{}).Entries(t.Context()); stream.KindOf(err) != stream.Denied || !strings.Contains(err.Error(), "definition") {
		t.Errorf("a routine whose text is not to be seen: %v", err)
	}
	testbed.MariaSQL(t, m, db, "DROP PROCEDURE p")
	testbed.MariaSQL(t, m, db, "CREATE TABLE isam (id int) ENGINE=MyISAM")
	if _, _, err := open(t, url, mysource.Options{}).Entries(t.Context()); stream.KindOf(err) != stream.Denied || !strings.Contains(err.Error(), "isam") {
		t.Errorf("a table that may not be locked: %v", err)
	}
}

// TestUncovered: a table without transactions can't be written to until all is read.
func TestUncovered(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, "CREATE TABLE isam (id int) ENGINE=MyISAM; INSERT INTO isam VALUES (1)")
	s := open(t, m.URL(db), mysource.Options{Jobs: 2})
	_, entries := entriesOf(t, s)
	insert := "SET lock_wait_timeout = 1; INSERT INTO isam VALUES (2)"
	if err := m.Exec(t.Context(), db, insert); err == nil || !strings.Contains(err.Error(), "1205") {
		t.Errorf("a write during the snapshot: %v", err)
	}
	if _, got := chunk(t, s, entries, "isam"); string(got) != "1\n" {
		t.Errorf("the rows are %q", got)
	}
	if err := s.Release(t.Context()); err != nil {
		t.Error(err)
	}
	testbed.MariaSQL(t, m, db, insert)
}

// TestDefinitionsHeld: a statement that changes a table waits for the snapshot's end, and no reader waits behind it.
func TestDefinitionsHeld(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, twins)
	s := open(t, m.URL(db), mysource.Options{Jobs: 3})
	_, entries := entriesOf(t, s)
	done := make(chan error, 1)
	go func() { done <- m.Exec(t.Context(), db, "SET lock_wait_timeout = 60; TRUNCATE TABLE a") }()
	waiting := "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata lock%' AND DB = '" + db + "'"
	for {
		n, err := m.Value(t.Context(), "", waiting)
		if err != nil {
			t.Fatal(err)
		}
		if n != "0" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for range 4 { // more than there are sessions
		if got := twinDigests(t, s, entries); got["a"].Rows != 3000 || got["a"] != got["b"] {
			t.Errorf("the twins differ: %v and %v", got["a"], got["b"])
		}
	}
	select {
	case err := <-done:
		t.Errorf("the table was emptied under the snapshot (%v)", err)
	default:
	}
	if err := s.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestSessionsLost: while one session lives, its snapshot is read; without any the dump can't go on.
func TestSessionsLost(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, twins)
	s := open(t, m.URL(db), mysource.Options{Jobs: 3})
	_, entries := entriesOf(t, s)
	want := twinDigests(t, s, entries)
	testbed.MariaSQL(t, m, db, "UPDATE a SET v = 0")
	ids, err := m.Query(t.Context(), "", "SELECT ID FROM information_schema.INNODB_TRX JOIN information_schema.PROCESSLIST ON ID = trx_mysql_thread_id WHERE DB = '"+db+"' ORDER BY ID")
	if err != nil || len(ids) != 3 {
		t.Fatalf("the snapshot's sessions are %v (%v)", ids, err)
	}
	for _, id := range ids[:2] {
		testbed.MariaSQL(t, m, "", "KILL CONNECTION "+id[0])
	}
	for range 4 {
		if got := twinDigests(t, s, entries); got["a"] != want["a"] || got["b"] != want["b"] {
			t.Errorf("after two sessions were killed: %v instead of %v", got, want)
		}
	}
	// A read that is given up keeps its session, however often.
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.CopyTo(ctx, dataOf(t, entries, "a"), stream.Chunk{Format: stream.FormatText}, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }))
		cancel()
		if err == nil {
			t.Error("a cancelled read succeeded")
		}
	}
	if got := twinDigests(t, s, entries); got["a"] != want["a"] {
		t.Errorf("after reads were given up: %v instead of %v", got, want)
	}
	testbed.MariaSQL(t, m, "", "KILL CONNECTION "+ids[2][0])
	err = s.CopyTo(t.Context(), dataOf(t, entries, "a"), stream.Chunk{Format: stream.FormatText}, writerFunc(func(p []byte) (int, error) { return len(p), nil }))
	if stream.KindOf(err) != stream.Outage || stream.Passing(err) {
		t.Errorf("without a session: %v", err)
	}
	if err := s.Release(t.Context()); stream.KindOf(err) != stream.Outage || stream.Passing(err) {
		t.Errorf("the end of a snapshot that was lost: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func dataOf(t *testing.T, entries []stream.Entry, table string) *stream.Entry {
	t.Helper()
	for i := range entries {
		if entries[i].Table != nil && string(entries[i].Tag) == table {
			return &entries[i]
		}
	}
	t.Fatalf("no rows of %s", table)
	return nil
}
