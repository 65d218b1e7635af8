package mysource

import (
	"context"
	"fmt"
	"io"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// This is the reading of a target whose tables are being loaded, one by one and before Entries: each of them as it
// stands, without a snapshot, as there is no moment yet at which all of them are whole.

// Parts is in how many ranges LoadedTo reads a table.
func (s *Source) Parts(t *stream.Table) int {
	return int(min(max((t.Bytes+s.opts.SplitSize-1)/s.opts.SplitSize, 1), maxChunks))
}

// LoadedTo writes the rows of one of the ranges of a table. One that can't be cut evenly is all in the first.
func (s *Source) LoadedTo(ctx context.Context, e *stream.Entry, format string, part, of int, w io.Writer) error {
	if format != stream.FormatText {
		return stream.Fail(stream.Integrity, "%s: rows in format %q are none of this engine", e.Name(), format)
	}
	wk, err := s.idle(ctx)
	if err != nil {
		return err
	}
	peek, err := s.peeked(ctx, wk.sess)
	if err == nil {
		var cond string
		var none bool
		if cond, none, err = peek.part(ctx, wk, e, part, of); err == nil && !none {
			err = peek.copyLoaded(ctx, wk, e, cond, w)
		}
	}
	s.rest(wk)
	return mysession.Explain(err, e.Name())
}

func (s *Source) copyLoaded(ctx context.Context, wk *worker, e *stream.Entry, cond string, w io.Writer) error {
	sql, err := s.copyQuery(e.Table, cond)
	if err != nil {
		return err
	}
	out := &rowWriter{w: s.opts.Throttle.Writer(ctx, w), buf: make([]byte, 0, blockSize+blockSize/4)}
	err = wk.copyOut(ctx, sql, out)
	if out.err != nil {
		return out.err
	}
	return err
}

// part returns the condition of one of the ranges; none says that there is nothing in it.
func (s *Source) part(ctx context.Context, wk *worker, e *stream.Entry, part, of int) (cond string, none bool, err error) {
	r := s.rels[string(e.Table.Name)]
	if of < 2 || r == nil {
		return "", part > 0, nil
	}
	if r.key == nil || !r.key[0].integer() {
		return "", part > 0, nil
	}
	bounds, err := wk.integerBounds(ctx, r, int64(of))
	if err != nil || len(bounds) == 0 {
		return "", part > 0, err
	}
	cs := ranges(r, bounds, 0)
	if len(cs) > of {
		return "", true, fmt.Errorf("%d ranges instead of %d", len(cs), of)
	}
	if part >= len(cs) {
		return "", true, nil
	}
	return string(cs[part].Range), false, nil
}

// peeked returns what the catalog says of the tables, which are all there before the first is loaded.
func (s *Source) peeked(ctx context.Context, sess *mysession.Session) (*Source, error) {
	s.earlyMu.Lock()
	defer s.earlyMu.Unlock()
	if s.peek != nil {
		return s.peek, nil
	}
	p := &Source{conn: s.conn, opts: s.opts, version: s.version, picks: s.picks}
	rels, err := p.list(ctx, sess)
	if err == nil {
		err = p.describe(ctx, sess, rels)
	}
	if err != nil {
		return nil, err
	}
	s.peek = p
	return p, nil
}

// idle is a session that nobody uses, a new one where there is none.
func (s *Source) idle(ctx context.Context) (*worker, error) {
	s.earlyMu.Lock()
	defer s.earlyMu.Unlock()
	if n := len(s.early); n > 0 {
		w := s.early[n-1]
		s.early = s.early[:n-1]
		return w, nil
	}
	sess, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	return &worker{sess: sess}, nil
}

// rest takes a session back.
func (s *Source) rest(w *worker) {
	if !w.sess.Lives() {
		w.sess.End()
		return
	}
	s.earlyMu.Lock()
	defer s.earlyMu.Unlock()
	s.early = append(s.early, w)
}

// endLoaded closes the sessions that LoadedTo opened.
func (s *Source) endLoaded() {
	s.earlyMu.Lock()
	defer s.earlyMu.Unlock()
	for _, w := range s.early {
		w.sess.End()
	}
	s.early = nil
}
