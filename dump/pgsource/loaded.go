package pgsource

import (
	"context"
	"fmt"
	"io"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// This is the reading of a target whose tables are being loaded, one by one and before Entries: each of them as it
// stands, without a snapshot, as there is no moment yet at which all of them are whole.

// Parts is in how many ranges LoadedTo reads a table: one where the server would scan all of it for each. Large objects are left to
// Entries and CopyTo, 0.
func (s *Source) Parts(t *stream.Table) int {
	switch {
	case t.LargeObjects, t.Filter != "": // a condition is checked by the catalogs, and those are read later
		return 0
	case s.versnum < 140000:
		return 1
	}
	return int(min(max((t.Bytes+s.opts.SplitSize-1)/s.opts.SplitSize, 1), 10000))
}

// LoadedTo writes the rows of one of the ranges of a table.
func (s *Source) LoadedTo(ctx context.Context, e *stream.Entry, format string, part, of int, w io.Writer) error {
	sess, err := s.idle(ctx)
	if err != nil {
		return err
	}
	defer s.rest(sess)
	cond := ""
	if of > 1 {
		row, err := sess.Row(ctx, fmt.Sprintf(`SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int, m.amname = 'heap'
			FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am m ON m.oid = c.relam WHERE c.oid = %s::pg_catalog.regclass`,
			pgsession.Literal(pgsession.Qualified(string(e.Table.Namespace), string(e.Table.Name)))))
		if err != nil {
			return pgsession.Explain(err, e.Name())
		}
		if row == nil || row[1] != "t" {
			return stream.Fail(stream.Failed, "%s can't be read in ranges", e.Name())
		}
		r := &relation{pages: number(row[0])}
		cond = string(ctidRanges(r, int64(of), format)[part].Range)
	}
	_, err = sess.CopyTo(ctx, s.opts.Throttle.Writer(ctx, w), copyQuery(e.Table, cond, format))
	return pgsession.Explain(err, e.Name())
}

// idle is a session that nobody uses, a new one where there is none.
func (s *Source) idle(ctx context.Context) (*pgsession.Session, error) {
	for {
		s.earlyMu.Lock()
		n := len(s.early)
		if n == 0 {
			s.earlyMu.Unlock()
			return s.session(ctx)
		}
		sess := s.early[n-1]
		s.early = s.early[:n-1]
		s.earlyMu.Unlock()
		if sess.Alive(ctx) {
			return sess, nil
		}
		next, err := s.session(ctx)
		if err == nil {
			_ = next.Bury(ctx, sess.Backend)
		}
		sess.End() // where ctx has ended it may well be alive
		if err == nil {
			return next, nil
		}
	}
}

// rest takes a session back.
func (s *Source) rest(sess *pgsession.Session) {
	if sess.IsClosed() {
		return
	}
	s.earlyMu.Lock()
	defer s.earlyMu.Unlock()
	if s.earlyOver {
		sess.End()
		return
	}
	s.early = append(s.early, sess)
}

// endLoaded closes the sessions that LoadedTo opened; one that is still reading ends when it is through.
func (s *Source) endLoaded() {
	s.earlyMu.Lock()
	defer s.earlyMu.Unlock()
	s.earlyOver = true
	for _, sess := range s.early {
		sess.End()
	}
	s.early = nil
}
