package testbed

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Null is how Query and Value return a NULL.
const Null = `\N`

// connect opens a session of the superuser. PG* variables have no say: the URL
// gives all that could come from them, but for PGOPTIONS and the like.
func (p *Postgres) connect(ctx context.Context, db string) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig(p.URL(db))
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams = map[string]string{"application_name": "testbed"}
	return pgconn.ConnectConfig(ctx, cfg)
}

// Exec runs SQL as the superuser; it may hold many statements. Where it has no
// BEGIN of its own, they are one transaction.
func (p *Postgres) Exec(ctx context.Context, db, sql string) error {
	_, err := p.Query(ctx, db, sql)
	return err
}

// Query runs SQL as the superuser and returns all rows of all statements as text,
// NULL as Null.
func (p *Postgres) Query(ctx context.Context, db, sql string) (rows [][]string, err error) {
	c, err := p.connect(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("connect to the test database %s: %w", db, err)
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("in the test database %s: %w", db, explain(sql, err))
	}
	for _, r := range results {
		for _, values := range r.Rows {
			row := make([]string, len(values))
			for i, v := range values {
				if row[i] = string(v); v == nil {
					row[i] = Null
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// explain adds to a server's error the line of the SQL that it is about.
func explain(sql string, err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return err
	}
	if pe.Position > 0 {
		runes := []rune(sql)
		before := string(runes[:min(int(pe.Position)-1, len(runes))])
		line := strings.Count(before, "\n")
		return fmt.Errorf("line %d, %.200q: %w", line+1, strings.Split(sql, "\n")[line], err)
	}
	if pe.Where != "" {
		return fmt.Errorf("%w (%s)", err, pe.Where)
	}
	return err
}

// Value runs SQL that returns one row of one column, and returns that.
func (p *Postgres) Value(ctx context.Context, db, sql string) (string, error) {
	rows, err := p.Query(ctx, db, sql)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fmt.Errorf("not one value but %d rows: %s", len(rows), sql)
	}
	return rows[0][0], nil
}

// CreateDatabase makes a database. Options are SQL that follows its name, such
// as "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'".
func (p *Postgres) CreateDatabase(ctx context.Context, name, options string) error {
	return p.Exec(ctx, "postgres", "CREATE DATABASE "+quote(name)+" "+options)
}

// DropDatabase drops a database with all sessions and logical replication slots
// that are still on it.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	drop := "DROP DATABASE IF EXISTS " + quote(name)
	if p.major >= 13 {
		drop += " WITH (FORCE)"
	}
	lit := "'" + strings.ReplaceAll(name, "'", "''") + "'"
	// A slot is in use for as long as its session is there, so sessions go first.
	for _, sql := range []string{
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = " + lit,
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = " + lit,
		drop,
	} {
		if err := p.Exec(ctx, "postgres", sql); err != nil {
			return fmt.Errorf("drop the test database %s: %w", name, err)
		}
	}
	return nil
}

// quote writes an identifier for SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
