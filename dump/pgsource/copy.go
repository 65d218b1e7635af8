package pgsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

func sortRelations(r []*relation) {
	slices.SortFunc(r, func(a, b *relation) int { return cmp.Compare(a.oid, b.oid) })
}

// blobsPerChunk is how many large objects share a chunk.
const blobsPerChunk = 500

// Split cuts a table into ranges of about SplitSize bytes: of ctid where the
// server scans such a range without reading the rest (14 and newer), of an integer
// primary key elsewhere. What can't be split is one chunk.
func (s *Source) Split(ctx context.Context, e *stream.Entry) ([]stream.Chunk, error) {
	if e.Table.LargeObjects {
		return s.splitBlobs(ctx)
	}
	r := s.relationOf(e)
	format := s.format(e, r)
	one := []stream.Chunk{{Format: format, Bytes: e.Table.Bytes}}
	size := s.splitSize()
	if r == nil || r.bytes <= size || r.filter != "" {
		return one, nil
	}
	n := (r.bytes + size - 1) / size
	switch {
	case s.versnum >= 140000 && r.heap:
		n = min(n, r.pages)
		if n > 1 {
			return ctidRanges(r, n, format), nil
		}
	case r.intKey != "":
		return s.keyRanges(ctx, r, n, format)
	}
	return one, nil
}

// splitSize is the size from which tables are cut, in bytes. A table that no worker's even share of all rows exceeds keeps no
// other worker waiting, and one stream into one table is what the target loads best.
func (s *Source) splitSize() int64 {
	if s.opts.Share <= 0 {
		return s.opts.SplitSize
	}
	if s.share == 0 {
		var all int64
		for _, r := range s.rels {
			if r.kind == 'r' {
				all += r.bytes
			}
		}
		s.share = max(all/int64(s.opts.Share)*11/10, 1)
	}
	return max(s.opts.SplitSize, min(s.share, maxSplitSize))
}

// ctidRanges cuts by pages. The last range is open: what was appended since the
// size was read is not in the snapshot, but what was there before is.
func ctidRanges(r *relation, n int64, format string) []stream.Chunk {
	var out []stream.Chunk
	for i := range n {
		from, to := r.pages*i/n, r.pages*(i+1)/n
		cond := fmt.Sprintf("ctid >= '(%d,0)'::pg_catalog.tid", from)
		if i < n-1 {
			cond += fmt.Sprintf(" AND ctid < '(%d,0)'::pg_catalog.tid", to)
		}
		out = append(out, stream.Chunk{Format: format, Range: stream.Text(cond), Bytes: r.bytes / n})
	}
	return out
}

// keyRanges cuts by an integer primary key. First and last range are open.
func (s *Source) keyRanges(ctx context.Context, r *relation, n int64, format string) ([]stream.Chunk, error) {
	one := []stream.Chunk{{Format: format, Bytes: r.bytes}}
	key := pgsession.Ident(string(r.intKey))
	var lo, hi int64
	err := s.with(ctx, func(w *worker) error {
		return w.unblocked(ctx, func() error {
			row, err := w.sess.Row(ctx, fmt.Sprintf("SELECT min(%s), max(%s) FROM ONLY %s", key, key, pgsession.Qualified(string(r.namespace), string(r.name))))
			if err == nil {
				lo, hi = number(row[0]), number(row[1])
			}
			return err
		})
	})
	if errors.Is(err, errLockWait) {
		return one, nil // its rows are read by the session that has the lock
	}
	if err != nil {
		return nil, pgsession.Explain(err, r.namespace.Display()+"."+r.name.Display())
	}
	// In unsigned arithmetic: the keys may span all of 64 bits.
	step := (uint64(hi)-uint64(lo))/uint64(n) + 1
	if hi <= lo || step == 0 {
		return one, nil
	}
	var out []stream.Chunk
	for i := range n {
		from := int64(uint64(lo) + uint64(i)*step)
		if i > 0 && (from > hi || from < lo) {
			break
		}
		var cond []string
		if i > 0 {
			cond = append(cond, fmt.Sprintf("%s >= '%d'", key, from))
		}
		if to := int64(uint64(from) + step); i < n-1 && to > from && to <= hi {
			cond = append(cond, fmt.Sprintf("%s < '%d'", key, to))
			out = append(out, stream.Chunk{Format: format, Range: stream.Text(strings.Join(cond, " AND ")), Bytes: r.bytes / n})
			continue
		}
		out = append(out, stream.Chunk{Format: format, Range: stream.Text(strings.Join(cond, " AND ")), Bytes: r.bytes / n})
		break
	}
	return out, nil
}

func (s *Source) splitBlobs(ctx context.Context) ([]stream.Chunk, error) {
	if len(s.onlyBlobs) > 0 {
		return s.pickedBlobs(), nil
	}
	var rows [][]string
	err := s.with(ctx, func(w *worker) (err error) {
		rows, err = w.sess.Rows(ctx, fmt.Sprintf(`SELECT min(o), max(o), count(*) FROM (SELECT oid::bigint AS o, (row_number() OVER (ORDER BY oid) - 1) / %d AS n
			FROM pg_catalog.pg_largeobject_metadata) x GROUP BY n ORDER BY n`, blobsPerChunk))
		return err
	})
	if err != nil {
		return nil, pgsession.Explain(err, "large objects")
	}
	var out []stream.Chunk
	for i, r := range rows {
		cond := "m.oid >= " + r[0]
		if i < len(rows)-1 {
			cond += " AND m.oid <= " + r[1]
		}
		out = append(out, stream.Chunk{Format: stream.FormatBlobs, Range: stream.Text(cond), Bytes: number(r[2]) * blobEstimate})
	}
	return out, nil
}

// CopyTo writes a chunk's rows as the snapshot holds them.
func (s *Source) CopyTo(ctx context.Context, e *stream.Entry, c stream.Chunk, w io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := s.checkFilter(e); err != nil {
		return err
	}
	err := s.copyTo(ctx, e, c, w)
	if err == nil && ctx.Err() != nil {
		return context.Cause(ctx) // what is cancelled counts as cancelled, also at its very end
	}
	if pgsession.Lost(err) {
		if lost := s.check(); lost != nil {
			return lost
		}
	}
	return pgsession.Explain(err, e.Name())
}

func (s *Source) copyTo(ctx context.Context, e *stream.Entry, c stream.Chunk, w io.Writer) error {
	w = s.opts.Throttle.Writer(ctx, w)
	if c.Format == stream.FormatBlobs {
		return s.with(ctx, func(wk *worker) error {
			_, err := wk.sess.CopyTo(ctx, w, blobQuery(string(c.Range)))
			return err
		})
	}
	sql := copyQuery(e.Table, string(c.Range), c.Format)
	table := pgsession.Qualified(string(e.Table.Namespace), string(e.Table.Name))
	tracked := &firstByte{w: w}
	err := s.with(ctx, func(wk *worker) error {
		// A statement that waits for an exclusive lock (VACUUM FULL) queues before us
		// and after the coordinator: to wait here would be to wait for ever.
		_, err := wk.sess.CopyTo(ctx, tracked, "LOCK TABLE ONLY "+table+" IN ACCESS SHARE MODE NOWAIT; "+sql)
		return err
	})
	if pgsession.Code(err) != "55P03" || tracked.begun {
		return err
	}
	s.coMu.Lock()
	defer s.coMu.Unlock()
	if s.lost != nil {
		return s.lost
	}
	drain := &draining{w: w}
	if _, err = s.coordinator.CopyTo(ctx, drain, sql); err != nil {
		s.lost = s.snapshotLost(err) // its transaction is over, and the locks with it
		return s.lost
	}
	return drain.err
}

// draining takes rows to the end when its writer fails: who reads with the coordinator must not break its transaction.
type draining struct {
	w   io.Writer
	err error
}

func (d *draining) Write(p []byte) (int, error) {
	if d.err == nil {
		_, d.err = d.w.Write(p)
	}
	return len(p), nil
}

// firstByte notes whether anything was written.
type firstByte struct {
	w     io.Writer
	begun bool
}

func (f *firstByte) Write(p []byte) (int, error) {
	f.begun = true
	return f.w.Write(p)
}

// copyQuery reads a table's rows, or a range of them, in the chunk's format: whoever compares
// names the one in which the other side was read.
func copyQuery(t *stream.Table, cond, format string) string {
	name := pgsession.Qualified(string(t.Namespace), string(t.Name))
	if cond == "" && t.Filter == "" {
		return "COPY " + name + columnList(t.Columns) + " TO STDOUT" + copyOptions(format)
	}
	where := string(t.Filter) // never with a condition: see Split
	if cond != "" {
		where = "WHERE " + cond
	}
	cols := strings.TrimSuffix(strings.TrimPrefix(columnList(t.Columns), " ("), ")")
	return "COPY (SELECT " + cols + " FROM ONLY " + name + " " + where + ") TO STDOUT" + copyOptions(format)
}

// blobQuery reads large objects in pieces: (oid, offset, piece). The inner queries are kept
// apart by OFFSET 0, so that each object is opened, measured and closed once, in
// the order of the OIDs.
func blobQuery(cond string) string {
	return fmt.Sprintf(`COPY (SELECT o.oid, p.at, pg_catalog.lo_get(o.oid, p.at, %d) FROM %s) TO STDOUT (FORMAT binary)`, stream.BlobPiece, blobPieces(cond))
}

// blobPieces is what blobQuery selects from.
func blobPieces(cond string) string {
	return fmt.Sprintf(`(SELECT m.oid FROM pg_catalog.pg_largeobject_metadata m WHERE %s ORDER BY m.oid OFFSET 0) o,
		LATERAL (SELECT b.size FROM (SELECT a.fd, pg_catalog.lo_lseek64(a.fd, 0, 2) AS size
			FROM (SELECT pg_catalog.lo_open(o.oid, 262144) AS fd OFFSET 0) a OFFSET 0) b WHERE pg_catalog.lo_close(b.fd) = 0 OFFSET 0) z,
		LATERAL pg_catalog.generate_series(0::bigint, greatest(z.size - 1, 0), %d) AS p (at)`,
		cond, stream.BlobPiece)
}

// Count counts a table's rows on the server; of large objects their pieces.
func (s *Source) Count(ctx context.Context, e *stream.Entry) (int64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if err := s.checkFilter(e); err != nil {
		return 0, err
	}
	sql := "SELECT count(*) FROM ONLY " + pgsession.Qualified(string(e.Table.Namespace), string(e.Table.Name)) + " " + string(e.Table.Filter)
	if e.Table.LargeObjects {
		sql = "SELECT count(*) FROM " + blobPieces("true")
	}
	var n int64
	err := s.with(ctx, func(w *worker) error {
		row, err := w.sess.Row(ctx, sql)
		if err == nil {
			n = number(row[0])
		}
		return err
	})
	return n, pgsession.Explain(err, e.Name())
}
