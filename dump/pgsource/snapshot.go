package pgsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// How long locks are waited for. While the coordinator or pg_dump waits, every
// other session that wants the table waits behind it, so the waits are short and repeated.
const (
	lockWait     = 10 * time.Second
	lockAttempts = 6
	lockBatch    = 500
)

// dumpable selects the tables that a dump may copy: those of users, and of
// extensions the configuration tables.
const dumpable = `SELECT c.oid, n.nspname, c.relname, pg_catalog.has_table_privilege(c.oid, 'SELECT')
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
	AND n.nspname <> '` + LedgerSchema + `' AND n.nspname !~ '^pg_'
	AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
			AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e')
		OR EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE c.oid = ANY (x.extconfig)))
	ORDER BY c.oid`

// hold locks all tables, exports a snapshot and keeps both. The order matters: a
// table truncated between snapshot and lock would be read as empty. So tables are
// listed, locked, the snapshot taken, and the list read again under it; anything
// new means to begin again.
func (s *Source) holdSnapshot(ctx context.Context) error {
	var err error
	for range lockAttempts {
		err = s.tryHold(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errUnstable), pgsession.Code(err) == "42P01":
		case stream.KindOf(err) == stream.NotResumable && s.opts.Snapshot != "" && s.opts.OrNew:
			s.warn(err.Error())
			s.opts.Snapshot = ""
		case pgsession.Code(err) == "55P03":
			s.warn("waiting for a lock: " + s.blockers(ctx))
		default:
			return err
		}
	}
	if pgsession.Code(err) == "55P03" {
		return (&stream.Failure{Kind: stream.Outage, Object: s.conn.Name(), Msg: "its tables could not be locked: " + s.blockers(ctx)}).
			WithHint("try again when those statements have ended")
	}
	return err
}

func (s *Source) tryHold(ctx context.Context) (err error) {
	if err := s.reconnect(ctx); err != nil {
		return err
	}
	co := s.coordinator
	const begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	defer func() {
		if err != nil && !co.IsClosed() && co.TxStatus() != 'I' {
			_ = co.Do(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	held := s.opts.Snapshot != "" // then its holder has the locks already
	if held {
		if err := s.adopt(ctx, begin); err != nil {
			return err
		}
	}
	before, err := co.Rows(ctx, dumpable)
	if err != nil {
		return err
	}
	var denied [][]string
	names := make([]string, 0, len(before))
	s.locked = make(map[uint32]bool, len(before))
	for _, r := range before {
		if r[3] != "t" {
			denied = append(denied, r[1:3])
			continue
		}
		names = append(names, "ONLY "+pgsession.Qualified(r[1], r[2]))
		s.locked[oid(r[0])] = true
	}
	if len(denied) > 0 && s.whole() {
		return s.unreadable(denied)
	}
	if !held {
		if err := co.Do(ctx, begin); err != nil {
			return err
		}
	}
	if err := co.Do(ctx, "SET LOCAL lock_timeout = "+pgsession.Literal(fmt.Sprint(lockWait.Milliseconds()))); err != nil {
		return err
	}
	for batch := range slices.Chunk(names, lockBatch) {
		if err := co.Do(ctx, "LOCK TABLE "+strings.Join(batch, ", ")+" IN ACCESS SHARE MODE"); err != nil {
			if pgsession.Code(err) == "53200" {
				return (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(),
					Msg: fmt.Sprintf("the server has no room for locks on %d tables", len(names)), Err: err}).
					WithHint("raise max_locks_per_transaction on the source, or dump by --schema")
			}
			return err
		}
	}
	row, err := co.Row(ctx, "SELECT pg_catalog.pg_export_snapshot()")
	if err != nil {
		return err
	}
	s.exported, s.facts.Snapshot = row[0], row[0]
	if held {
		s.facts.Snapshot = s.opts.Snapshot
	}
	if err := s.readView(ctx); err != nil {
		return err
	}
	after, err := co.Rows(ctx, dumpable)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(before, after, func(a, b []string) bool { return slices.Equal(a[:3], b[:3]) }) {
		return errUnstable
	}
	return co.Do(ctx, "SET LOCAL lock_timeout = 0")
}

// reconnect opens the coordinator's session anew where it was lost before it held anything: between Open and Entries of
// a target there are hours.
func (s *Source) reconnect(ctx context.Context) error {
	if s.coordinator.Alive(ctx) {
		return nil
	}
	co, err := s.session(ctx)
	if err != nil {
		return err
	}
	_ = co.Bury(ctx, s.coordinator.Backend)
	s.coordinator.End()
	s.coordinator = co
	return nil
}

// unreadable refuses a source of which some tables can't be read.
func (s *Source) unreadable(tables [][]string) error {
	return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(),
		Msg: fmt.Sprintf("role %s may not read %s", s.conn.User(), nameList(tables))}).
		WithHint("grant it pg_read_all_data, or SELECT on these tables and USAGE on their schemas")
}

// blockers tells who holds or awaits locks that ours wait for.
func (s *Source) blockers(ctx context.Context) string {
	w, err := s.session(ctx)
	if err != nil {
		return "who holds it could not be asked"
	}
	defer w.End()
	out, err := exclusive(ctx, w)
	if err != nil || len(out) == 0 {
		return "who holds it is not to be seen"
	}
	return strings.Join(out, "; ")
}

// exclusive lists the locks of others that ours wait for.
func exclusive(ctx context.Context, q *pgsession.Session) ([]string, error) {
	rows, err := q.Rows(ctx, `SELECT DISTINCT a.pid, a.usename, coalesce(a.query, ''), c.relname
		FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
		JOIN pg_catalog.pg_class c ON c.oid = l.relation
		WHERE l.mode = 'AccessExclusiveLock' AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
		LIMIT 5`)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("process %s of %s has or awaits an exclusive lock on %s (%.80s)", r[0],
			stream.Text(r[1]).Display(), stream.Text(r[3]).Display(), stream.Text(withoutValues(r[2])).Display()))
	}
	return out, nil
}

// withoutValues cuts another session's statement before its first string: it could be a password.
func withoutValues(sql string) string {
	if i := strings.IndexAny(sql, "'$"); i >= 0 {
		return sql[:i] + "…"
	}
	return sql
}

// pingEvery is how often the coordinator's connection is used: proxies cut those that are idle, some after a few seconds.
const pingEvery = 3 * time.Second

// watch looks after the coordinator: an idle connection may be cut without a
// word, and then locks and snapshot are gone.
func (s *Source) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	s.hold = cancel
	s.held.Add(1)
	go func() {
		defer s.held.Done()
		t := time.NewTicker(pingEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			s.coMu.Lock()
			if s.coordinator != nil && s.lost == nil {
				// Where ctx ends the coordinator is about to be closed.
				if err := s.coordinator.Ping(ctx); err != nil && ctx.Err() == nil {
					s.lost = s.snapshotLost(err)
				}
			}
			s.coMu.Unlock()
		}
	}()
}

// worker is a session that reads under the coordinator's snapshot.
type worker struct {
	s    *Source
	sess *pgsession.Session // nil until first used
	open bool               // in a transaction with the snapshot
	last time.Time          // when it was last used
	dead pgsession.Backend  // of a session that was lost
}

func (s *Source) startWorkers() {
	s.workers = make(chan *worker, s.opts.Jobs)
	for range s.opts.Jobs {
		s.workers <- &worker{s: s}
	}
}

// begin makes sure that the worker is in a transaction that sees the snapshot.
func (w *worker) begin(ctx context.Context) error {
	if w.sess != nil && time.Since(w.last) > pgsession.Rested {
		w.sess.Alive(ctx) // what was cut meanwhile is closed then
	}
	if w.sess != nil && w.sess.IsClosed() {
		w.dead = w.sess.Backend
		w.sess, w.open = nil, false
	}
	if w.sess == nil {
		sess, err := w.s.session(ctx)
		if err != nil {
			return err
		}
		w.sess = sess
		if err := sess.Bury(ctx, w.dead); err != nil && sess.IsClosed() {
			return err
		}
		w.dead = pgsession.Backend{} // also where the role may not end it: it reads, and is in nobody's way
	}
	if w.open {
		return nil
	}
	err := w.sess.Do(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT "+pgsession.Literal(w.s.exported))
	if err != nil {
		switch pgsession.Code(err) {
		case "22023", "42704", "55000":
			return w.s.snapshotLost(err)
		}
		return err
	}
	w.open = true
	return nil
}

// rollback leaves a transaction that failed; the next begin opens a new one.
func (w *worker) rollback(ctx context.Context) {
	w.open = false
	if w.sess != nil && !w.sess.IsClosed() {
		_ = w.sess.Do(context.WithoutCancel(ctx), "ROLLBACK")
	}
}

func (w *worker) end() {
	if w.sess != nil {
		w.sess.End()
		w.sess = nil
	}
}

// with runs f in a worker's transaction.
func (s *Source) with(ctx context.Context, f func(*worker) error) error {
	var w *worker
	select {
	case w = <-s.workers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() {
		w.last = time.Now()
		s.workers <- w
	}()
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := f(w); err != nil {
		w.rollback(ctx)
		return err
	}
	return nil
}

// check returns why there is no snapshot to read, nil while it holds.
func (s *Source) check() error {
	s.coMu.Lock()
	defer s.coMu.Unlock()
	if s.lost == nil && s.coordinator == nil {
		return errors.New("the snapshot was released")
	}
	return s.lost
}
