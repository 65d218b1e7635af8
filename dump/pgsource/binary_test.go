package pgsource

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
)

// server is a database of one version, and a session with the settings that rows are read under.
type server struct {
	*testbed.Postgres
	db   string
	sess *pgsession.Session
	made map[string]bool // tables
}

func newServer(t *testing.T, major int, options, encoding string) *server {
	t.Helper()
	s := &server{Postgres: testbed.Shared(t, major), made: map[string]bool{}}
	s.db = testbed.DatabaseWith(t, s.Postgres, options)
	conn, err := pgsession.Parse(s.URL(s.db))
	if err != nil {
		t.Fatal(err)
	}
	if s.sess, err = pgsession.Connect(t.Context(), conn, pgsession.Options{Encoding: encoding}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sess.End)
	return s
}

func (s *server) do(t *testing.T, sql string) {
	t.Helper()
	if err := s.sess.Do(t.Context(), sql); err != nil {
		t.Fatalf("PostgreSQL %d: %v: %.300s", s.Major(), err, sql)
	}
}

func (s *server) copyOut(t *testing.T, table, options string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.sess.CopyTo(t.Context(), &b, "COPY public."+table+" TO STDOUT"+options); err != nil {
		t.Fatalf("PostgreSQL %d: %s: %v", s.Major(), table, err)
	}
	return b.Bytes()
}

func (s *server) copyIn(t *testing.T, table string, rows []byte) (pgconn.CommandTag, error) {
	t.Helper()
	return s.sess.CopyFrom(t.Context(), bytes.NewReader(rows), "COPY public."+table+" FROM STDIN WITH (FORMAT binary)")
}

const binary = " WITH (FORMAT binary)"

// fill makes a table of the values that all servers from a version on know, and returns its name.
func (s *server) fill(t *testing.T, typ string, o uint32, sm sample, with int) string {
	t.Helper()
	values := slices.Clone(sm.values)
	for major, more := range sm.newer {
		if with >= major {
			values = append(values, more...)
		}
	}
	table := fmt.Sprintf("sent_%d_%d", o, len(values))
	if s.made[table] {
		return table
	}
	s.made[table] = true
	sql := fmt.Sprintf("CREATE TABLE public.%s (v %s); INSERT INTO public.%[1]s VALUES (NULL)", table, declared(typ))
	for _, v := range values {
		sql += fmt.Sprintf(", (%s::%s)", pgsession.Literal(v), declared(typ))
	}
	if sm.query != "" {
		sql += fmt.Sprintf("; INSERT INTO public.%s SELECT (q.c)::%s FROM (%s) AS q (c)", table, declared(typ), sm.query)
	}
	s.do(t, sql)
	return table
}

// declared is how a column is declared: bit and bpchar mean their lengths 1 otherwise.
func declared(typ string) string {
	switch typ {
	case "bit":
		return `pg_catalog."bit"`
	case "bpchar":
		return `pg_catalog."bpchar"`
	}
	return typ
}

// TestBinaryTypes: the OIDs are those of the named types on every version, and what each version
// makes of the samples is taken by each other, unchanged in the binary form and in the text.
func TestBinaryTypes(t *testing.T) {
	if len(samples) != len(binaryTypes) {
		t.Errorf("%d types have samples, %d are allowed", len(samples), len(binaryTypes))
	}
	majors := testbed.Majors()
	if len(majors) < 2 {
		t.Fatalf("servers of two versions at least are needed, there are %v", majors)
	}
	var servers []*server
	for _, m := range majors {
		servers = append(servers, newServer(t, m, "", "UTF8"))
	}
	for o, typ := range binaryTypes {
		t.Run(typ, func(t *testing.T) {
			sm, ok := samples[typ]
			if !ok {
				t.Fatal("there are no samples")
			}
			for _, s := range servers {
				if s.Major() < sm.since {
					continue
				}
				row, err := s.sess.Row(t.Context(), fmt.Sprintf("SELECT '%s'::pg_catalog.regtype::pg_catalog.oid", declared(typ)))
				if err != nil || row[0] != fmt.Sprint(o) {
					t.Errorf("PostgreSQL %d: its OID is %v (%v), not %d", s.Major(), row, err, o)
				}
			}
			for _, from := range servers {
				for _, to := range servers {
					exchange(t, from, to, typ, o, sm)
				}
			}
		})
	}
}

// exchange moves the samples between two servers.
func exchange(t *testing.T, from, to *server, typ string, o uint32, sm sample) {
	t.Helper()
	with := min(from.Major(), to.Major())
	if with < sm.since {
		return
	}
	taken := fmt.Sprintf("taken_%d_%d", o, from.Major())
	sent := from.fill(t, typ, o, sm, with)
	rows := from.copyOut(t, sent, binary)
	to.do(t, fmt.Sprintf("CREATE TABLE public.%s (v %s)", taken, declared(typ)))
	if tag, err := to.copyIn(t, taken, rows); err != nil {
		t.Errorf("%d to %d: %v", from.Major(), to.Major(), err)
		return
	} else if tag.RowsAffected() < int64(len(sm.values)) {
		t.Errorf("%d to %d: only %d rows", from.Major(), to.Major(), tag.RowsAffected())
	}
	if !bytes.Equal(rows, to.copyOut(t, taken, binary)) {
		t.Errorf("%d to %d: another binary form", from.Major(), to.Major())
	}
	if typ == `"char"` {
		return // 16 and newer write bytes above 127 as text in another way
	}
	if !bytes.Equal(from.copyOut(t, sent, ""), to.copyOut(t, taken, "")) {
		t.Errorf("%d to %d: the values differ as text", from.Major(), to.Major())
	}
}

// TestNotBinaryTypes shows why some types are not in the list. Should it fail, they might be.
func TestNotBinaryTypes(t *testing.T) {
	majors := testbed.Majors()
	s, newest := newServer(t, majors[0], "", "UTF8"), newServer(t, majors[len(majors)-1], "", "UTF8")
	const arrays = "CREATE TABLE public.a (v int[]); INSERT INTO public.a VALUES ('{NULL,2}'); UPDATE public.a SET v[1] = 1"
	s.do(t, arrays)
	newest.do(t, arrays+"; TRUNCATE public.a")
	rows := s.copyOut(t, "a", binary)
	if _, err := newest.copyIn(t, "a", rows); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(rows, newest.copyOut(t, "a", binary)) {
		t.Error("an array that once had a NULL keeps its binary form")
	}
	if !bytes.Equal(s.copyOut(t, "a", ""), newest.copyOut(t, "a", "")) {
		t.Error("the arrays are not equal at all")
	}
	if s.Major() >= 17 || newest.Major() < 17 {
		t.Fatalf("servers before and after 17 are needed, there are %v", majors)
	}
	s.do(t, "CREATE TABLE public.i (v interval)")
	newest.do(t, "CREATE TABLE public.i (v interval); INSERT INTO public.i VALUES ('infinity')")
	if _, err := s.copyIn(t, "i", newest.copyOut(t, "i", binary)); err != nil {
		t.Errorf("an infinite interval is refused: %v", err)
	}
	if row, err := s.sess.Row(t.Context(), "SELECT isfinite(v) FROM public.i"); err != nil || row[0] != "t" {
		t.Errorf("infinity stays infinity: %v (%v)", row, err)
	}
	s.do(t, "CREATE TABLE public.q (v tsquery); INSERT INTO public.q VALUES ('')")
	if _, err := s.copyIn(t, "q", s.copyOut(t, "q", binary)); err == nil {
		t.Error("an empty tsquery is taken back")
	}
}
