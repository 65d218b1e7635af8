package testbed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// OwnMariaDB starts a server for one test and closes it with the test. Most tests need but
// a database of their own: SharedMariaDB and MariaDatabase are faster.
func OwnMariaDB(tb testing.TB, opts MariaDBOptions) *MariaDB {
	tb.Helper()
	m, err := StartMariaDB(tb.Context(), opts)
	if err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	return m.closedWith(tb)
}

// closedWith closes the server with the test, and shows its log where that failed.
func (m *MariaDB) closedWith(tb testing.TB) *MariaDB {
	tb.Helper()
	tb.Cleanup(func() {
		log := m.Log()
		if err := m.Close(); err != nil {
			tb.Errorf("testbed: %v", err)
		}
		if tb.Failed() {
			tb.Logf("the last lines that the server logged:\n%s", tail(log))
		}
	})
	return m
}

// SharedMariaDB returns a server that the tests of this package share, starting it at its
// first use: 0 is the first one, 1 a second one for those who move from one to the other.
// Tests make databases with MariaDatabase, and accounts under names of their own. The
// package needs a TestMain that calls Main or Wrap.
func SharedMariaDB(tb testing.TB, which int) *MariaDB {
	tb.Helper()
	needOwner(tb)
	shared.Lock()
	if shared.maria[which] == nil {
		shared.maria[which] = &lazy[*MariaDB]{}
	}
	s := shared.maria[which]
	shared.Unlock()
	m, err := s.get(func(ctx context.Context) (*MariaDB, error) {
		return StartMariaDB(ctx, MariaDBOptions{Settings: map[string]string{"server-id": strconv.Itoa(which + 1)}})
	})
	if err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	return m
}

// MariaDatabase makes an empty database of the name on each of the servers, which is dropped with the test,
// and returns the name; "" takes one that no test used before.
func MariaDatabase(tb testing.TB, name string, servers ...*MariaDB) string {
	tb.Helper()
	if name == "" {
		name = unique(tb, "_")
	}
	for _, m := range servers {
		if err := m.Exec(tb.Context(), "", "CREATE DATABASE "+backtick(name)); err != nil {
			tb.Fatalf("testbed: %v", err)
		}
		tb.Cleanup(func() {
			if m.proc == nil || m.proc.alive() != nil {
				return // the test ended the server, and the database with it
			}
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			if err := m.Exec(ctx, "", "SET SESSION lock_wait_timeout = 15; DROP DATABASE IF EXISTS "+backtick(name)); err != nil {
				tb.Errorf("testbed: %v", err)
			}
		})
	}
	return name
}

// MariaSQL runs SQL on a database of the server and fails the test where that fails.
func MariaSQL(tb testing.TB, m *MariaDB, db, text string) {
	tb.Helper()
	if err := m.Exec(tb.Context(), db, text); err != nil {
		tb.Fatal(err)
	}
}

// MariaFixture loads testdata/everything-mysql.sql into a database.
func MariaFixture(tb testing.TB, m *MariaDB, db string) {
	tb.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "testdata", "everything-mysql.sql"))
	if err != nil {
		tb.Fatal(err)
	}
	MariaSQL(tb, m, db, string(b))
}

// config is how the testbed connects: many statements at once, text in utf8mb4, times in UTC.
func (m *MariaDB) config(db string) *mysql.Config {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.DBName = mariaAdmin, m.password, "tcp", db
	c.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port))
	c.MultiStatements, c.MaxAllowedPacket = true, 0
	c.Params = map[string]string{"time_zone": "'+00:00'"}
	c.Collation = "utf8mb4_general_ci"
	c.Logger = &mysql.NopLogger{}
	return c
}

// with runs f with one connection.
func (m *MariaDB) with(ctx context.Context, db string, f func(*sql.Conn) error) (err error) {
	connector, err := mysql.NewConnector(m.config(db))
	if err != nil {
		return err
	}
	pool := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, pool.Close()) }()
	c, err := pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to the test database %s: %w", db, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return f(c)
}

// Exec runs SQL as the account that may do all; it may hold many statements.
func (m *MariaDB) Exec(ctx context.Context, db, text string) error {
	return m.with(ctx, db, func(c *sql.Conn) error {
		if _, err := c.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("in the test database %s: %w", db, err)
		}
		return nil
	})
}

// Query runs SQL as the account that may do all and returns the rows of its last statement that has
// any, as text, NULL as Null.
func (m *MariaDB) Query(ctx context.Context, db, text string) (rows [][]string, err error) {
	err = m.with(ctx, db, func(c *sql.Conn) error {
		r, err := c.QueryContext(ctx, text)
		if err != nil {
			return fmt.Errorf("in the test database %s: %w", db, err)
		}
		defer r.Close() //nolint:errcheck // its error is Err's
		for {
			more, err := texts(r)
			if err != nil {
				return err
			}
			if len(more) > 0 {
				rows = more
			}
			if !r.NextResultSet() {
				return r.Err()
			}
		}
	})
	return rows, err
}

// texts reads the rows of one result.
func texts(r *sql.Rows) (rows [][]string, err error) {
	names, err := r.Columns()
	if err != nil {
		return nil, err
	}
	for r.Next() {
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := r.Scan(into...); err != nil {
			return nil, err
		}
		row := make([]string, len(names))
		for i, v := range values {
			if row[i] = v.String; !v.Valid {
				row[i] = Null
			}
		}
		rows = append(rows, row)
	}
	return rows, r.Err()
}

// Value runs SQL that returns one row of one column, and returns that.
func (m *MariaDB) Value(ctx context.Context, db, text string) (string, error) {
	rows, err := m.Query(ctx, db, text)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fmt.Errorf("not one value but %d rows: %s", len(rows), text)
	}
	return rows[0][0], nil
}
