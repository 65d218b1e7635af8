package mysource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// each runs f with all workers at once.
func (s *Source) each(ctx context.Context, f func(context.Context, *worker) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range s.all {
		g.Go(func() error { return f(ctx, w) })
	}
	return g.Wait()
}

// holdDefinitions takes the metadata locks of all tables.
func (w *worker) holdDefinitions(ctx context.Context, rels []*relation) error {
	var names []string
	for _, r := range rels {
		if r.kind == table && !r.foreign {
			names = append(names, mysession.Ident(r.name))
		}
	}
	for batch := range slices.Chunk(names, tablesPerQuery) {
		if _, err := w.sess.Rows(ctx, "SELECT 1 FROM "+strings.Join(batch, ", ")+" LIMIT 0"); err != nil {
			if mysession.Code(err) == mysession.ErrNoSuchTable {
				return errUnstable
			}
			return err
		}
	}
	return nil
}

func (s *Source) rollback(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	for _, w := range s.all {
		_ = w.sess.Do(ctx, "ROLLBACK")
	}
	if s.guard != nil {
		s.guard.End()
		s.guard = nil
	}
}

// lockUncovered locks the tables that no snapshot covers against writers, until Release.
func (s *Source) lockUncovered(ctx context.Context, rels []*relation) error {
	names, shown := s.uncovered(rels)
	if len(names) == 0 || s.opts.Uncovered {
		return nil
	}
	var err error
	if s.guard, err = s.session(ctx); err != nil {
		return err
	}
	if err := s.guard.Do(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", max(int(s.opts.LockWait/time.Second), 1))); err != nil {
		return err
	}
	err = s.guard.Do(ctx, "LOCK TABLES "+strings.Join(names, ", "))
	if mysession.Denied(err) {
		return s.mayNotLock(shown, err)
	}
	if err == nil {
		s.warn("not transactional, and locked against writers until all is read: %s", strings.Join(shown, ", "))
	}
	return err
}

// uncovered lists the tables that no snapshot covers, as LOCK TABLES and as people have them.
func (s *Source) uncovered(rels []*relation) (locks, shown []string) {
	for _, r := range rels {
		if r.kind == table && !r.transactional && s.reads(r) {
			locks = append(locks, mysession.Ident(r.name)+" READ")
			shown = append(shown, stream.Text(r.name).Display())
		}
	}
	return locks, shown
}

func (s *Source) mayNotLock(shown []string, err error) error {
	return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(), Msg: "tables that are not transactional must be locked while they are read: " + strings.Join(shown, ", "), Err: err}).
		WithHint("grant LOCK TABLES on the database, or convert these tables to InnoDB")
}

// position notes where in the binary log the snapshot is, as far as the account may know.
func (s *Source) position(ctx context.Context) error {
	var said []string
	if s.version.MariaDB {
		at, err := s.all[0].binlog(ctx)
		if err != nil {
			return err
		}
		if len(at) == 2 && at[0] != "" {
			said = append(said, "file="+at[0], "position="+at[1])
			// The binary log knows which GTIDs lead to that position.
			if row, err := s.control.Row(ctx, "SELECT BINLOG_GTID_POS("+mysession.Literal(at[0])+", "+at[1]+")"); err == nil && row[0] != "" {
				said = append(said, "gtid="+row[0])
			}
		}
	} else {
		status := "SHOW MASTER STATUS"
		if s.version.Num >= 8040000 {
			status = "SHOW BINARY LOG STATUS"
		}
		if rows, err := s.control.Named(ctx, status); err == nil && len(rows) > 0 {
			said = append(said, "file="+rows[0]["File"], "position="+rows[0]["Position"])
		}
		if row, err := s.control.Row(ctx, "SELECT @@GLOBAL.gtid_executed"); err == nil && row[0] != "" {
			said = append(said, "gtid="+strings.Join(strings.Fields(row[0]), ""))
		}
	}
	s.facts.Snapshot = strings.Join(said, " ")
	return nil
}
