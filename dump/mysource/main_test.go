package mysource_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// open opens a database of a server.
func open(t *testing.T, url string, o mysource.Options) *mysource.Source {
	t.Helper()
	conn, err := mysession.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mysource.Open(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// entriesOf reads a source's entries.
func entriesOf(t *testing.T, s *mysource.Source) (stream.Header, []stream.Entry) {
	t.Helper()
	h, entries, err := s.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h, entries
}

// target is the least that can take a source's entries: what they promise is tried with it.
type target struct {
	t    *testing.T
	conn *sql.Conn
	v    mysession.Version
}

func newTarget(t *testing.T, m *testbed.MariaDB, db string) *target {
	t.Helper()
	cfg, err := mysql.ParseDSN(fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/?maxAllowedPacket=0", m.User(), m.Password(), m.Port()))
	if err != nil {
		t.Fatal(err)
	}
	cfg.DBName = db
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = pool.Close() })
	return &target{t: t, conn: conn, v: mysession.Version{MariaDB: true, Num: 10110000}}
}

func (g *target) do(q string) error {
	_, err := g.conn.ExecContext(g.t.Context(), q)
	return err
}

// pin makes the settings of a session that loads.
func (g *target) pin() {
	g.t.Helper()
	for _, q := range mysession.PinStatements(mysession.Load, g.v) {
		if err := g.do(q); err != nil {
			g.t.Fatalf("%s: %v", q, err)
		}
	}
}

// exec applies an entry.
func (g *target) exec(e *stream.Entry) {
	g.t.Helper()
	settings, statement := mysession.Statements(string(e.Defn))
	if settings != "" {
		if err := g.do(settings); err != nil {
			g.t.Errorf("%s %s: %v: %s", e.Desc, e.Name(), err, settings)
		}
	}
	if err := g.do(statement); err != nil {
		g.t.Errorf("%s %s: %v:\n%s", e.Desc, e.Name(), err, statement)
	}
	if settings != "" {
		g.pin()
	}
}

// load loads a chunk, and fails on any difference that LOAD DATA LOCAL would be silent about.
func (g *target) load(e *stream.Entry, rows []byte) {
	g.t.Helper()
	name := fmt.Sprintf("%s %d", g.t.Name(), e.ID)
	mysql.RegisterReaderHandler(name, func() io.Reader { return bytes.NewReader(rows) })
	defer mysql.DeregisterReaderHandler(name)
	if err := g.do("SET " + mysession.Zeros + " = 0, " + mysession.WideZeros + " = 0"); err != nil {
		g.t.Fatal(err)
	}
	res, err := g.conn.ExecContext(g.t.Context(), mysession.LoadFrom(string(e.CopyStmt), "Reader::"+name))
	if err != nil {
		g.t.Errorf("load %s: %v\n%s", e.Name(), err, e.CopyStmt)
		return
	}
	n, _ := res.RowsAffected()
	want := int64(bytes.Count(rows, []byte("\n")))
	var got, zeros int
	if err := g.conn.QueryRowContext(g.t.Context(), "SELECT @@warning_count, "+mysession.Zeros+" + "+mysession.WideZeros).Scan(&got, &zeros); err != nil {
		g.t.Fatal(err)
	}
	warnings := ""
	if got != zeros { // a load that is repeated only to see its warnings would be another one
		warnings = fmt.Sprintf("%d instead of %d", got, zeros)
	}
	if err != nil || n != want || warnings != "" {
		g.t.Errorf("load %s: %d of %d rows; warnings %s (%v)", e.Name(), n, want, warnings, err)
	}
}

// move takes a source's whole content to a database, as a restore would.
func move(t *testing.T, s *mysource.Source, entries []stream.Entry, g *target) {
	t.Helper()
	g.pin()
	for _, section := range []stream.Section{stream.PreData, stream.Sequences, stream.Data, stream.PostData} {
		for i := range entries {
			e := &entries[i]
			switch {
			case e.Section != section:
			case e.Table == nil:
				g.exec(e)
			default:
				chunks, err := s.Split(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range chunks {
					var b bytes.Buffer
					if err := s.CopyTo(t.Context(), e, c, &b); err != nil {
						t.Fatal(err)
					}
					g.load(e, b.Bytes())
				}
			}
		}
	}
}
