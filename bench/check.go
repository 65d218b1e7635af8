package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/internal/testbed"
)

// contents is what a database holds, by means that share nothing with pgmove's: the text
// that pg_dump prints of its schema, and rows as the server hashes them. It is small:
// the bench's own memory is in what it measures of its clients.
type contents struct {
	schema uint64 // the sum of the lines' hashes: some tools leave them in another order
	lines  int
	db     string
	rows   map[string]string // table: rows and hash; sequence: value
}

var seed = maphash.MakeSeed()

// contents reads a database.
func (b *bench) contents(ctx context.Context, p *testbed.Postgres, db string) (*contents, error) {
	c := &contents{db: db, rows: map[string]string{}}
	err := b.schemaLines(ctx, p, db, func(line []byte) {
		c.schema += maphash.Bytes(seed, line)
		c.lines++
	})
	if err != nil {
		return nil, err
	}
	objects, err := p.Query(ctx, db, `SET search_path = ''; SELECT c.relkind, c.oid::regclass, c.relispopulated
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm', 'S') AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		ORDER BY pg_table_size(c.oid) DESC, 2`)
	if err != nil {
		return nil, err
	}
	var queries []string
	for _, o := range objects {
		name, label := o[1], "'"+strings.ReplaceAll(o[1], "'", "''")+"'"
		switch {
		case o[0] == "S":
			queries = append(queries, fmt.Sprintf("SELECT %s, last_value || ' ' || is_called FROM %s", label, name))
		case o[2] != "t":
			c.rows[name] = "not populated"
		default:
			// The whole row as text, hashed on the server; the sum does not depend on the order.
			queries = append(queries, fmt.Sprintf("SELECT %s, count(*) || ' ' || coalesce(sum(pg_catalog.hashtextextended(t::text, 0)), 0) FROM ONLY %s t", label, name))
		}
	}
	const pins = "SET datestyle = ISO; SET timezone = 'UTC'; SET extra_float_digits = 3; SET search_path = ''; SET bytea_output = hex; SET intervalstyle = postgres; SET jit = off;"
	batches := make(chan string)
	found := make(chan [2]string, 100)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		// The largest come first, one by one; then many at a time.
		for i := 0; i < len(queries); {
			n := 1
			if i >= 16 {
				n = min(100, len(queries)-i)
			}
			select {
			case batches <- pins + strings.Join(queries[i:i+n], " UNION ALL "):
			case <-gctx.Done():
				return gctx.Err()
			}
			i += n
		}
		return nil
	})
	for range 2 {
		g.Go(func() error {
			for sql := range batches {
				rows, err := p.Query(gctx, db, sql)
				if err != nil {
					return err
				}
				for _, r := range rows {
					found <- [2]string{r[0], r[1]}
				}
			}
			return nil
		})
	}
	done := make(chan error, 1)
	go func() {
		done <- g.Wait()
		close(found)
	}()
	for f := range found {
		c.rows[f[0]] = f[1]
	}
	return c, <-done
}

// schemaLines calls take with each line of a schema's text that says something.
func (b *bench) schemaLines(ctx context.Context, p *testbed.Postgres, db string, take func([]byte)) error {
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "pg_dump"), "--schema-only", "--dbname="+p.URL(db))
	var stderr lastLines
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		l := lines.Bytes()
		if len(l) == 0 || l[0] == '\\' || len(l) > 1 && l[0] == '-' && l[1] == '-' {
			continue
		}
		if l[len(l)-1] == ',' {
			l = l[:len(l)-1] // the last column of a table has none
		}
		take(l)
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return fmt.Errorf("pg_dump: %w: %s", err, &stderr)
	}
	return nil
}

// schemaDifference lists the lines that one schema has more often than the other.
func (b *bench) schemaDifference(ctx context.Context, db string) (out []string, err error) {
	count := map[string]int{}
	if err := b.schemaLines(ctx, b.source, db, func(l []byte) { count[string(l)]++ }); err != nil {
		return nil, err
	}
	if err := b.schemaLines(ctx, b.target, targetDB, func(l []byte) { count[string(l)]-- }); err != nil {
		return nil, err
	}
	for l, n := range count {
		if n > 0 {
			out = append(out, "schema, only on the source: "+l)
		} else if n < 0 {
			out = append(out, "schema, only on the target: "+l)
		}
	}
	return out, nil
}

// compare returns as an error how the target differs from what the source holds.
func (b *bench) compare(ctx context.Context, want *contents) error {
	got, err := b.contents(ctx, b.target, targetDB)
	if err != nil {
		return fmt.Errorf("compare the target with the source: %w", err)
	}
	var out []string
	if got.schema != want.schema || got.lines != want.lines {
		lines, err := b.schemaDifference(ctx, want.db)
		if err != nil {
			return err
		}
		out = append(out, lines...)
	}
	for name, v := range want.rows {
		if got.rows[name] != v {
			out = append(out, fmt.Sprintf("%s: source %s, target %q", name, v, got.rows[name]))
		}
	}
	for name, v := range got.rows {
		if _, ok := want.rows[name]; !ok {
			out = append(out, fmt.Sprintf("%s: only on the target: %s", name, v))
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.Sort(out)
	if len(out) > 20 {
		out = append(out[:20], fmt.Sprintf("and %d more", len(out)-20))
	}
	return errors.New("THE TARGET DIFFERS FROM THE SOURCE:\n" + strings.Join(out, "\n"))
}
