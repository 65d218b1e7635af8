package pgtarget_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/restore/targettest"
	"github.com/pgmove/pgmove/stream"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func TestConformance(t *testing.T) {
	p := testbed.Shared(t, 0)
	targettest.Exercise(t, func(t *testing.T) *targettest.Target { return fresh(t, p) })
}

func fresh(t *testing.T, p *testbed.Postgres) *targettest.Target {
	db := testbed.Database(t, p)
	count := func(t *testing.T, sql string) int {
		t.Helper()
		s, err := p.Value(t.Context(), db, sql)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	table := stream.Table{Namespace: "public", Name: "t", Columns: []stream.Text{"id", "words"}}
	open := func(resume bool) func(t *testing.T) (restore.Target, func()) {
		return func(t *testing.T) (restore.Target, func()) {
			conn, err := pgsession.Parse(p.URL(db))
			if err != nil {
				t.Fatal(err)
			}
			tgt, err := pgtarget.Open(t.Context(), conn, pgtarget.Options{Sessions: 2, Resume: resume})
			if err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			closeIt := func() { once.Do(tgt.Close) }
			t.Cleanup(closeIt)
			return tgt, closeIt
		}
	}
	return &targettest.Target{
		Open:   open(false),
		Resume: open(true),
		Header: stream.Header{Run: "3f0e5d5e-0000-4000-8000-000000000000", Engine: "postgresql", Tool: "test",
			Source: stream.Source{Database: "it's", Encoding: "UTF8", Snapshot: "1-1"}},
		Create: entry(1, "t", "CREATE TABLE public.t (id int, words text);"),
		Other:  entry(2, "other", "CREATE TABLE public.other (id int);\n"),
		Broken: entry(3, "broken", "CREATE TABLE public.broken (id no_such_type);\n"),
		Data: stream.Entry{ID: 4, Section: stream.Data, Desc: "TABLE DATA", Namespace: "public", Tag: "t", Dependencies: []stream.DumpID{1},
			CopyStmt: "COPY public.t (id, words) FROM stdin;\n", Table: &table},
		Row:    func(i int) []byte { return fmt.Appendf(nil, "%d\tthe words of row %d\n", i, i) },
		Format: stream.FormatText,
		Tables: func(t *testing.T) int {
			return count(t, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname IN ('t', 'other') AND relnamespace = 'public'::regnamespace")
		},
		Rows:     func(t *testing.T) int { return count(t, "SELECT count(*) FROM public.t") },
		TakeOver: func(t *testing.T) { testbed.SQL(t, p, db, "UPDATE pgmove.run SET epoch = epoch + 1") },
		Occupy:   func(t *testing.T) { testbed.SQL(t, p, db, "CREATE TABLE users_own (id int)") },
		Ledger: func(t *testing.T) int {
			if count(t, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgmove'") == 0 {
				return -1
			}
			return count(t, "SELECT count(*) FROM pgmove.taken")
		},
	}
}

func entry(id stream.DumpID, name, sql string) stream.Entry {
	return stream.Entry{ID: id, Section: stream.PreData, Desc: "TABLE", Namespace: "public", Tag: stream.Text(name), Defn: stream.Text(sql), Relkind: 'r'}
}
