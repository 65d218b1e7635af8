//go:build oraclemysql

package testbed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// OracleMySQL starts a server of Oracle's MySQL for one test, whose program PGMOVE_MYSQLD names, and closes it with
// the test. No package that the tests install has it.
func OracleMySQL(tb testing.TB, settings ...string) *MariaDB {
	tb.Helper()
	program := os.Getenv("PGMOVE_MYSQLD")
	if program == "" {
		tb.Fatal("PGMOVE_MYSQLD names no server of MySQL, 8.4 or newer: its mysqld")
	}
	m, err := startMySQL(tb.Context(), program, settings)
	if err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	return m.closedWith(tb)
}

func startMySQL(ctx context.Context, program string, settings []string) (*MariaDB, error) {
	u, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, lock, err := newFolder(u)
	if err != nil {
		return nil, err
	}
	m := &MariaDB{program: program, dir: dir, lock: lock, user: u, password: secret()}
	init := u.command(ctx, dir, program, "--no-defaults", "--datadir="+m.data(), "--initialize-insecure", "--innodb-redo-log-capacity=32M")
	if out, ierr := finish(init); ierr != nil {
		err = fmt.Errorf("mysqld --initialize-insecure: %w\n%s", ierr, tail(out))
	}
	if err == nil {
		err = os.WriteFile(m.initFile(), []byte(fmt.Sprintf("CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION;\n",
			mariaAdmin, m.password, mariaAdmin)), 0o600)
	}
	if err == nil {
		err = u.own(m.initFile())
	}
	if err == nil {
		m.args = slices.Concat([]string{"--no-defaults", "--datadir=" + m.data(), "--socket=" + filepath.Join(dir, "socket"), "--pid-file=" + filepath.Join(dir, "pid"),
			"--init-file=" + m.initFile(), "--bind-address=127.0.0.1", "--mysqlx=OFF", "--log-bin=binlog", "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF",
			"--innodb-buffer-pool-size=64M", "--innodb-redo-log-capacity=32M", "--local-infile=ON", "--performance-schema=OFF", "--secure-file-priv="}, settings)
		err = m.firstStart(ctx)
	}
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// OracleFixture loads testdata/everything-oracle-mysql.sql into a database.
func OracleFixture(tb testing.TB, m *MariaDB, db string) {
	tb.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "testdata", "everything-oracle-mysql.sql"))
	if err != nil {
		tb.Fatal(err)
	}
	MariaSQL(tb, m, db, string(b))
}

// described are the tables of information_schema that describe a database, with the column that names it, and what in them differs
// between two servers with the same database.
var described = map[string]struct{ database, differs string }{
	"TABLES":  {"TABLE_SCHEMA", "TABLE_ROWS AVG_ROW_LENGTH DATA_LENGTH MAX_DATA_LENGTH INDEX_LENGTH DATA_FREE CREATE_TIME UPDATE_TIME CHECK_TIME"},
	"COLUMNS": {"TABLE_SCHEMA", ""}, "STATISTICS": {"TABLE_SCHEMA", "CARDINALITY"}, "VIEWS": {"TABLE_SCHEMA", "VIEW_DEFINITION"},
	"PARTITIONS":        {"TABLE_SCHEMA", "TABLE_ROWS AVG_ROW_LENGTH DATA_LENGTH MAX_DATA_LENGTH INDEX_LENGTH DATA_FREE CREATE_TIME UPDATE_TIME CHECK_TIME"},
	"TABLE_CONSTRAINTS": {"TABLE_SCHEMA", ""}, "CHECK_CONSTRAINTS": {"CONSTRAINT_SCHEMA", ""}, "REFERENTIAL_CONSTRAINTS": {"CONSTRAINT_SCHEMA", ""},
	"KEY_COLUMN_USAGE": {"TABLE_SCHEMA", ""}, "ROUTINES": {"ROUTINE_SCHEMA", "CREATED LAST_ALTERED"}, "PARAMETERS": {"SPECIFIC_SCHEMA", ""},
	"TRIGGERS": {"TRIGGER_SCHEMA", "CREATED"}, "EVENTS": {"EVENT_SCHEMA", "CREATED LAST_ALTERED ORIGINATOR"},
}

// OracleDifference compares two databases of one name, by means that share nothing with pgmove's own: what the servers'
// catalogues say, and the rows as MariaDifference hashes them.
func OracleDifference(ctx context.Context, a, b *MariaDB, db string) (string, error) {
	var out []string
	for table, d := range described {
		var texts [2][]string
		for i, m := range []*MariaDB{a, b} {
			names, err := m.Query(ctx, "", "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'information_schema' AND TABLE_NAME = '"+table+"' ORDER BY ORDINAL_POSITION")
			if err != nil {
				return "", err
			}
			var columns []string
			for _, n := range names {
				if !slices.Contains(strings.Fields(d.differs), n[0]) {
					columns = append(columns, n[0])
				}
			}
			rows, err := m.Query(ctx, "", "SET SESSION information_schema_stats_expiry = 0; SELECT "+strings.Join(columns, ", ")+" FROM information_schema."+table+" WHERE "+d.database+" = '"+db+"'")
			if err != nil {
				return "", err
			}
			for _, r := range rows {
				for j := range r {
					r[j] = strings.TrimSuffix(r[j], ";") // which the server keeps of a program that was made among other statements
				}
				texts[i] = append(texts[i], table+": "+strings.Join(r, "|"))
			}
			if table != "VIEWS" {
				continue
			}
			// What it says of a view's text is older than what it prints.
			if rows, err = m.Query(ctx, "", "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '"+db+"'"); err != nil {
				return "", err
			}
			for _, r := range rows {
				made, err := m.Query(ctx, db, "SHOW CREATE VIEW "+backtick(r[0]))
				if err != nil {
					return "", err
				}
				texts[i] = append(texts[i], strings.Join(made[0], "|"))
			}
			slices.Sort(texts[i])
		}
		if len(texts[0]) == 0 {
			return "", fmt.Errorf("%s says nothing of the source", table)
		}
		out = append(out, textDifference(texts[0], texts[1], nil)...)
	}
	fa, err := a.fingerprints(ctx, db)
	if err != nil {
		return "", err
	}
	fb, err := b.fingerprints(ctx, db)
	if err != nil {
		return "", err
	}
	for name := range fa {
		if fa[name] != fb[name] {
			out = append(out, fmt.Sprintf("table %s: source %s, target %s", name, fa[name], fb[name]))
		}
	}
	if len(fa) == 0 || len(fa) != len(fb) {
		out = append(out, fmt.Sprintf("%d tables on the source, %d on the target", len(fa), len(fb)))
	}
	return strings.Join(out, "\n"), nil
}
