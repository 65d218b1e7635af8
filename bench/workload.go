package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// workload is a database that is moved.
type workload struct {
	id    string // what the goals know it by
	name  string
	db    string
	steps func(o *options) []step
}

// step is SQL that may run at the same time, each text in a transaction of its own.
type step []string

// workloads are those that the flags ask for.
func (b *bench) workloads() []*workload {
	var all []*workload
	if b.scale > 0 {
		all = append(all, &workload{id: "mix", name: fmt.Sprintf("the mix, scale %v", b.scale), db: "bench_mix", steps: mixSteps})
	}
	for _, n := range b.tables {
		all = append(all, &workload{id: "tables-" + strconv.Itoa(n), name: fmt.Sprintf("%d tables of ten rows", n), db: fmt.Sprintf("bench_tables_%d", n),
			steps: func(*options) []step { return manyTables(n) }})
	}
	if b.toc > 0 {
		all = append(all, &workload{id: "toc", name: fmt.Sprintf("%d entries", b.toc), db: "bench_toc",
			steps: func(o *options) []step { return manyEntries(o.toc) }})
	}
	return all
}

// fill makes a workload's database on the source.
func (b *bench) fill(ctx context.Context, w *workload) error {
	if err := b.source.CreateDatabase(ctx, w.db, "TEMPLATE template0"); err != nil {
		return err
	}
	for _, s := range w.steps(b.options) {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(max(2, runtime.NumCPU()))
		for _, sql := range s {
			g.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return b.source.Exec(ctx, w.db, "SET synchronous_commit = off; SET search_path = ''; SET timezone = 'UTC'; "+sql)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	// Else the first contestant's reads would set hint bits for those who follow.
	return b.source.Exec(ctx, w.db, "VACUUM ANALYZE")
}

// describe measures a database: the bytes of its tables with TOAST, and a line for people.
func (b *bench) describe(ctx context.Context, db string) (bytes int64, facts string, err error) {
	rows, err := b.source.Query(ctx, db, `SELECT coalesce(sum(pg_table_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0), count(*) FILTER (WHERE c.relkind = 'r'),
		coalesce(max(pg_table_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0), count(*) FILTER (WHERE c.relkind = 'i'),
		coalesce(sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind = 'i'), 0)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`)
	if err != nil {
		return 0, "", err
	}
	n := make([]int64, 5)
	for i, s := range rows[0] {
		if n[i], err = strconv.ParseInt(s, 10, 64); err != nil {
			return 0, "", err
		}
	}
	mb := func(x int64) string { return fmt.Sprintf("%.1f MB", float64(x)/1e6) }
	return n[0], fmt.Sprintf("%s in %d tables, the largest of %s; %d indexes of %s", mb(n[0]), n[1], mb(n[2]), n[3], mb(n[4])), nil
}

// manyTables makes n tables of ten rows, each with a primary key and an index.
func manyTables(n int) []step {
	return []step{{"CREATE SCHEMA many"}, loops(n, `
		EXECUTE format('CREATE TABLE many.t%1$s (id int PRIMARY KEY, name text NOT NULL, amount numeric(12,2), changed timestamptz)', i);
		EXECUTE format('INSERT INTO many.t%1$s SELECT g, md5(%1$s::text || g), g * %1$s / 7.0, timestamptz ''2024-01-01 UTC'' + g * interval ''1 hour'' FROM generate_series(1, 10) g', i);
		EXECUTE format('CREATE INDEX t%1$s_name ON many.t%1$s (name)', i);`)}
}

// manyEntries makes n entries of pg_dump with hardly a row: each turn of the loop ten of them.
func manyEntries(n int) []step {
	return []step{{"CREATE SCHEMA many"}, loops(n/10, `
		EXECUTE format('CREATE TABLE many.t%1$s (id int PRIMARY KEY, name text)', i);
		EXECUTE format('CREATE INDEX t%1$s_name ON many.t%1$s (name)', i);
		EXECUTE format('COMMENT ON TABLE many.t%1$s IS ''table %1$s''', i);
		EXECUTE format('COMMENT ON COLUMN many.t%1$s.id IS ''key''', i);
		EXECUTE format('CREATE VIEW many.v%1$s AS SELECT id, upper(name) AS name FROM many.t%1$s', i);
		EXECUTE format('COMMENT ON VIEW many.v%1$s IS ''view %1$s''', i);
		EXECUTE format('CREATE FUNCTION many.f%1$s() RETURNS int LANGUAGE sql AS ''SELECT %1$s''', i);
		EXECUTE format('COMMENT ON FUNCTION many.f%1$s() IS ''function %1$s''', i);`)}
}

// loops runs a body for i from 1 to n, so many at a time that the lock table holds them.
func loops(n int, body string) step {
	const at = 100
	var s step
	for lo := 1; lo <= n; lo += at {
		s = append(s, fmt.Sprintf("DO $do$ BEGIN FOR i IN %d..%d LOOP %s END LOOP; END $do$", lo, min(lo+at-1, n), body))
	}
	return s
}

// fixed are the settings that a report names.
func (b *bench) fixed(ctx context.Context) (string, error) {
	rows, err := b.source.Query(ctx, "postgres", `SELECT string_agg(name || ' ' || current_setting(name), ', ' ORDER BY name) FROM pg_settings
		WHERE name IN ('shared_buffers', 'max_wal_size', 'maintenance_work_mem', 'fsync', 'wal_level', 'max_locks_per_transaction')`)
	if err != nil {
		return "", err
	}
	return rows[0][0], nil
}
