package mysource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Rung is a way to give several sessions the same snapshot. The server has no way to hand one on: all sessions
// begin theirs while nothing can be committed, or it is shown that nothing was.
type Rung string

// The rungs of the ladder, from the one that asks for the most privileges down.
const (
	// BackupStage blocks commits for a moment, and waits for no long query (MariaDB; needs RELOAD).
	BackupStage Rung = "backup-stage"
	// FlushTables is FLUSH TABLES WITH READ LOCK (needs RELOAD).
	FlushTables Rung = "flush-tables"
	// LockTables locks the database's own tables for reading (needs LOCK TABLES).
	LockTables Rung = "lock-tables"
	// BinlogSnapshot locks nothing: MariaDB tells each session at which position of the binary log its snapshot is.
	BinlogSnapshot Rung = "binlog-snapshot"
	// GTID locks nothing: the executed GTIDs before the first snapshot and after the last one are the same (MySQL).
	GTID Rung = "gtid"
	// Single is one session, whose snapshot needs no other to agree with it.
	Single Rung = "single-session"
)

var allRungs = []Rung{BackupStage, FlushTables, LockTables, BinlogSnapshot, GTID, Single}

// tablesPerQuery is how many tables one query takes the metadata locks of; a join has 61 at the most.
const tablesPerQuery = 50

var (
	errUnfit    = errors.New("not to be had on this server")
	errUnstable = errors.New("other sessions changed something in between")
)

// worker is a session that holds the snapshot.
type worker struct {
	sess *mysession.Session
}

// hold takes the snapshot, by the first rung that bears.
func (s *Source) hold(ctx context.Context) ([]*relation, error) {
	for range s.opts.Jobs {
		sess, err := s.session(ctx)
		if err != nil {
			return nil, err
		}
		s.all = append(s.all, &worker{sess: sess})
	}
	if s.opts.Uncovered {
		rels, err := s.begin(ctx)
		if err == nil {
			s.startWorkers()
		}
		return rels, err
	}
	var refused []string
	for _, rung := range s.opts.Ladder {
		rels, err := s.try(ctx, rung)
		if err == nil {
			s.startWorkers()
			s.facts.Snapshot = strings.TrimSpace("rung=" + string(rung) + " " + s.facts.Snapshot)
			if len(refused) > 0 && rung == Single {
				s.warn("rows are read by one session only: %s", strings.Join(refused, "; "))
			}
			return rels, nil
		}
		if stream.KindOf(err) != stream.Failed || !(mysession.Denied(err) || mysession.Locked(err) || errors.Is(err, errUnfit) || errors.Is(err, errUnstable)) {
			return nil, err
		}
		if !errors.Is(err, errUnfit) {
			refused = append(refused, fmt.Sprintf("%s: %v", rung, err))
		}
	}
	return nil, (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(), Msg: "no snapshot could be taken: " + strings.Join(refused, "; ")}).
		WithHint("grant RELOAD, or LOCK TABLES on the database, or try again when there are fewer locks")
}

// try takes the snapshot by one rung; where it doesn't bear, all is as before.
func (s *Source) try(ctx context.Context, rung Rung) ([]*relation, error) {
	if !s.knows(rung) {
		return nil, errUnfit
	}
	switch rung {
	case BackupStage:
		return s.underLock(ctx, []string{"BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"}, "BACKUP STAGE END")
	case FlushTables:
		return s.underLock(ctx, []string{"FLUSH TABLES WITH READ LOCK"}, "UNLOCK TABLES")
	case LockTables:
		return s.lockTables(ctx)
	case BinlogSnapshot, GTID:
		return s.unlocked(ctx, map[Rung]func(context.Context, []string) error{BinlogSnapshot: s.sameBinlog, GTID: s.sameGTIDs}[rung])
	case Single:
		for _, w := range s.all[1:] {
			w.sess.End()
		}
		s.all = s.all[:1]
		return s.begin(ctx)
	}
	return nil, stream.Fail(stream.Usage, "no such rung: %s", rung)
}

// knows reports whether the server is of a kind and version that has the rung.
func (s *Source) knows(rung Rung) bool {
	switch rung {
	case BackupStage:
		return s.version.MariaDB && s.version.Num >= 10050000
	case BinlogSnapshot:
		return s.version.MariaDB
	case GTID:
		return !s.version.MariaDB
	}
	return true
}

// underLock takes the snapshot while nothing is committed.
func (s *Source) underLock(ctx context.Context, lock []string, unlock string) (rels []*relation, err error) {
	wait := max(int(s.opts.LockWait/time.Second), 1)
	if err := s.control.Do(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", wait)); err != nil {
		return nil, err
	}
	defer func() {
		if uerr := s.control.Do(context.WithoutCancel(ctx), unlock); uerr != nil && err == nil {
			err = uerr
		}
	}()
	for _, q := range lock {
		if err := s.control.Do(ctx, q); err != nil {
			return nil, err
		}
	}
	return s.begin(ctx)
}

// lockTables takes the snapshot while the tables are locked. One that was made while locks were waited for isn't, and others are
// changed together with it: all is done again, as long as locks are waited for.
func (s *Source) lockTables(ctx context.Context) ([]*relation, error) {
	for deadline := time.Now().Add(s.opts.LockWait); ; {
		rels, err := s.list(ctx, s.control)
		if err != nil {
			return nil, err
		}
		var names []string
		locked := map[string]bool{}
		for _, r := range rels {
			if r.kind == table {
				names = append(names, mysession.Ident(r.name)+" READ")
				locked[r.name] = true
			}
		}
		lock := []string{"LOCK TABLES " + strings.Join(names, ", ")}
		if len(names) == 0 {
			lock = nil
		}
		rels, err = s.underLock(ctx, lock, "UNLOCK TABLES")
		switch {
		case mysession.Code(err) == mysession.ErrNoSuchTable:
			err = errUnstable
		case err == nil && slices.ContainsFunc(rels, func(r *relation) bool { return r.kind == table && !locked[r.name] }):
			s.rollback(ctx)
			err = errUnstable
		}
		if !errors.Is(err, errUnstable) || time.Now().After(deadline) {
			return rels, err
		}
	}
}

// unlocked takes the snapshot where it is shown that nothing was committed in the meantime. It is tried as long as locks are waited for.
func (s *Source) unlocked(ctx context.Context, same func(context.Context, []string) error) ([]*relation, error) {
	for deadline := time.Now().Add(s.opts.LockWait); ; {
		rels, err := s.beginIf(ctx, same)
		if err == nil || !errors.Is(err, errUnstable) || time.Now().After(deadline) {
			return rels, err
		}
	}
}

// executed reads the GTIDs that a MySQL server has executed.
func (s *Source) executed(ctx context.Context) ([]string, error) {
	row, err := s.control.Row(ctx, "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_mode")
	if err == nil && row[1] != "ON" {
		err = errUnfit
	}
	return row, err
}

// sameGTIDs checks that nothing was executed since the GTIDs were read. A commit under way shows in them a moment
// after it shows in the rows.
func (s *Source) sameGTIDs(ctx context.Context, before []string) error {
	time.Sleep(20 * time.Millisecond)
	after, err := s.executed(ctx)
	if err == nil && !slices.Equal(before, after) {
		err = errUnstable
	}
	return err
}

// sameBinlog checks that all workers' snapshots are at one position of the binary log.
func (s *Source) sameBinlog(ctx context.Context, _ []string) error {
	if err := s.allLogged(ctx); err != nil {
		return err
	}
	var first []string
	for _, w := range s.all {
		at, err := w.binlog(ctx)
		if err != nil {
			return err
		}
		if len(at) != 2 || at[0] == "" {
			return errUnfit // no binary log
		}
		if first == nil {
			first = at
		} else if !slices.Equal(first, at) {
			return errUnstable
		}
	}
	return nil
}

// binlog is the position that MariaDB says the session's snapshot is at: file and offset.
func (w *worker) binlog(ctx context.Context) ([]string, error) {
	rows, err := w.sess.Rows(ctx, "SHOW STATUS WHERE Variable_name IN ('binlog_snapshot_file', 'binlog_snapshot_position')")
	if err != nil {
		return nil, err
	}
	var at []string
	for _, r := range rows {
		at = append(at, r[1])
	}
	return at, nil
}

// begin starts all workers' transactions at a time at which nothing is committed.
func (s *Source) begin(ctx context.Context) ([]*relation, error) { return s.beginIf(ctx, nil) }

// beginIf starts all workers' transactions, checks that they are the same, and has each take the metadata locks of all
// tables: from then on no definition changes, and no worker ever waits behind somebody who waits for
// another worker to end.
func (s *Source) beginIf(ctx context.Context, same func(context.Context, []string) error) (rels []*relation, err error) {
	defer func() {
		if err != nil {
			s.rollback(ctx)
		}
	}()
	if rels, err = s.list(ctx, s.control); err != nil {
		return nil, err
	}
	var before []string
	if same != nil && !s.version.MariaDB {
		if before, err = s.executed(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.each(ctx, func(ctx context.Context, w *worker) error {
		return w.sess.Do(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
	}); err != nil {
		return nil, err
	}
	if same != nil {
		if err := same(ctx, before); err != nil {
			return nil, err
		}
	}
	if err := s.each(ctx, func(ctx context.Context, w *worker) error { return w.holdDefinitions(ctx, rels) }); err != nil {
		return nil, err
	}
	again, err := s.list(ctx, s.control)
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(rels, again, func(a, b *relation) bool { return a.name == b.name && a.kind == b.kind && a.engine == b.engine }) {
		return nil, errUnstable
	}
	if err := s.lockUncovered(ctx, rels); err != nil {
		return nil, err
	}
	return rels, s.position(ctx)
}
