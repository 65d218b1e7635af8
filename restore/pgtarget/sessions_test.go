package pgtarget_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/stream"
)

// TestRejoin ends all of a target's sessions. It takes its lock again and goes on; unless another process has taken the
// run over meanwhile, holds the lock, or the server lost what it had committed.
func TestRejoin(t *testing.T) {
	p := testbed.Shared(t, 0)
	for _, c := range []struct {
		name, meanwhile string
		kind            stream.Kind
		want            string
	}{
		{"nothing happened", "SELECT 1", stream.Failed, ""},
		{"taken over", "UPDATE pgmove.run SET epoch = epoch + 1", stream.Busy, "taken over"},
		{"dropped", "DELETE FROM pgmove.run", stream.Busy, "taken over"},
		{"lost the ledger", "DROP SCHEMA pgmove CASCADE; DROP TABLE t", stream.Outage, "lost the ledger"},
		{"lost commits", "DELETE FROM pgmove.taken; DROP TABLE t", stream.Outage, "lost 1 transactions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := fresh(t, p)
			db := ""
			g.Occupy = nil
			tgt, closeIt := g.Open(t)
			defer closeIt()
			if err := tgt.Prepare(t.Context(), &g.Header, []stream.Entry{g.Create, g.Other, g.Data}, []stream.Chunk{{Table: 4, ID: 4, Of: 1, Format: g.Format, Key: "4.dat"}}); err != nil {
				t.Fatal(err)
			}
			if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
				t.Fatal(err)
			}
			rows, err := p.Query(t.Context(), "postgres", "SELECT datname FROM pg_stat_activity WHERE application_name = 'pgmove' AND datname LIKE '%testrejoin%'")
			if err != nil || len(rows) == 0 {
				t.Fatalf("no session: %v", err)
			}
			db = rows[0][0]
			testbed.SQL(t, p, db, c.meanwhile)
			testbed.SQL(t, p, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"'")
			err = tgt.Exec(t.Context(), []*stream.Entry{&g.Other})
			if stream.Passing(err) {
				err = tgt.Exec(t.Context(), []*stream.Entry{&g.Other}) // the session that was lost is noticed by its first use
			}
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if n, err := p.Value(t.Context(), db, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"); err != nil || n != "1" {
					t.Errorf("%s locks are held (%v)", n, err)
				}
				if err := tgt.Finish(t.Context()); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || stream.KindOf(err) != c.kind || stream.Passing(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// lateRows yields one row, and its end after a while.
type lateRows struct {
	io.Reader
	pause time.Duration
}

func (l *lateRows) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if err != nil {
		time.Sleep(l.pause)
	}
	return n, err
}

func (l *lateRows) Verify(taken int64) (*stream.Record, error) {
	return &stream.Record{Digest: stream.Digest{Rows: taken}}, nil
}

// TestLateRows: a source that takes its time is not a target that hangs.
func TestLateRows(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	g := fresh(t, p)
	conn, err := pgsession.Parse(p.URL(testbed.Database(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	conn.StandStill = 300 * time.Millisecond
	tgt, err := pgtarget.Open(t.Context(), conn, pgtarget.Options{Sessions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer tgt.Close()
	c := stream.Chunk{Table: 4, ID: 4, Of: 1, Format: g.Format, Key: "4.dat"}
	if err := tgt.Prepare(t.Context(), &g.Header, []stream.Entry{g.Create, g.Data}, []stream.Chunk{c}); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
		t.Fatal(err)
	}
	if err := tgt.CopyFrom(t.Context(), &g.Data, c, &lateRows{strings.NewReader(string(g.Row(1))), 5 * time.Second}); err != nil {
		t.Errorf("it was cut: %v", err)
	}
}
