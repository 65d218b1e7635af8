// Package floor moves a database as fast as the two servers can go, by hand: the
// mark that pgmove is measured against.
//
// It checks nothing, records nothing, holds no snapshot and knows the bench's own data
// only. What can be known before (the schema's statements, the tables' sizes, the
// sequences' values) is prepared before and not counted. It imports the standard library
// and pgx's connection and protocol, and nothing of pgmove. Only the bench uses it: it
// is no way to move a database that anybody needs.
package floor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Options say how the floor works.
type Options struct {
	Jobs  int  // how many pairs of sessions
	Split bool // load the largest table in two halves, without FREEZE
}

// batch bounds the statements of one transaction, so that the lock table holds them.
const batch = 200

// Run moves what the plan describes from source to target, an empty database.
func Run(ctx context.Context, source, target string, p *Plan, o Options) error {
	pairs := make([]*pair, o.Jobs)
	var opening errgroup.Group // not one whose context ends with it: the sessions live on
	for i := range pairs {
		opening.Go(func() (err error) {
			pairs[i], err = openPair(ctx, source, target)
			return err
		})
	}
	err := opening.Wait()
	defer func() {
		for _, c := range pairs {
			c.close()
		}
	}()
	if err != nil {
		return err
	}
	for statements := range slices.Chunk(p.Pre, batch) {
		if err := pairs[0].target.exec(strings.Join(statements, "\n")); err != nil {
			return fmt.Errorf("schema: %w", err)
		}
	}
	graph := newGraph(p, o)
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range pairs {
		g.Go(func() error { return graph.work(gctx, c) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for statements := range slices.Chunk(p.Last, batch) {
		if err := pairs[0].target.exec(strings.Join(statements, "\n")); err != nil {
			return fmt.Errorf("last entries: %w", err)
		}
	}
	return nil
}

// pair is a session on each side.
type pair struct{ source, target *session }

func openPair(ctx context.Context, source, target string) (*pair, error) {
	s, err := open(ctx, source)
	if err != nil {
		return nil, err
	}
	t, err := open(ctx, target)
	if err != nil {
		s.close()
		return nil, err
	}
	c := &pair{s, t}
	// Functions' bodies may name what comes later; nobody waits for the disk at a commit.
	for _, x := range []*session{s, t} {
		if err := x.exec("SET synchronous_commit = off; SET check_function_bodies = off; SET client_min_messages = error; SET synchronize_seqscans = off"); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *pair) close() {
	if c != nil {
		c.source.close()
		c.target.close()
	}
}

// load copies a table as a whole, FREEZE in the transaction that empties it.
func (c *pair) load(t *Table) error {
	if err := c.target.exec("BEGIN; TRUNCATE ONLY " + t.Name); err != nil {
		return err
	}
	if err := c.copy(t.Name, "", ", FREEZE"); err != nil {
		return err
	}
	return c.target.exec("COMMIT")
}

// copy pipes the rows of a table, or those that a condition names.
func (c *pair) copy(table, where, freeze string) error {
	from := "COPY " + table + " TO STDOUT (FORMAT binary)"
	if where != "" {
		from = "COPY (SELECT * FROM ONLY " + table + " WHERE " + where + ") TO STDOUT (FORMAT binary)"
	}
	if err := relay(c.source, from, c.target, "COPY "+table+" FROM STDIN (FORMAT binary"+freeze+")"); err != nil {
		return fmt.Errorf("copy %s: %w", table, err)
	}
	return nil
}

// loadSmall copies several small tables and finishes them, in one transaction.
func (c *pair) loadSmall(tables []*Table) error {
	if err := c.target.exec("BEGIN"); err != nil {
		return err
	}
	var rest []string
	for _, t := range tables {
		if err := c.copy(t.Name, "", ""); err != nil {
			return err
		}
		for _, ix := range t.Indexes {
			rest = append(rest, ix.Whole)
		}
		if t.Parent == "" {
			rest = append(rest, "ANALYZE "+t.Name+";")
		}
	}
	return c.target.exec(strings.Join(append(rest, "COMMIT"), "\n"))
}
