package mysource

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// pageSize is InnoDB's, in bytes: there is no use in more chunks than pages. maxChunks bounds a table's chunks.
const (
	pageSize  = 16 << 10
	maxChunks = 10_000
)

// Split cuts a table into ranges of its key: of integers by arithmetic, else at keys that the server names. The first and
// the last range are open, and each range ends where the next one begins, as the server itself compares: no row
// is in two chunks or in none. A table without a key is one chunk.
func (s *Source) Split(ctx context.Context, e *stream.Entry) ([]stream.Chunk, error) {
	r := s.rels[string(e.Table.Name)]
	one := []stream.Chunk{{Format: stream.FormatText, Bytes: e.Table.Bytes}}
	if r == nil || r.bytes <= s.opts.SplitSize {
		return one, s.check()
	}
	n := min((r.bytes+s.opts.SplitSize-1)/s.opts.SplitSize, max(r.bytes/pageSize, 1), maxChunks)
	if n < 2 {
		return one, s.check()
	}
	if r.key == nil {
		s.warn("table %s has no key to cut it by: it is read in one piece", e.Name())
		return one, s.check()
	}
	bounds, err := s.bounds(ctx, r, n)
	if err != nil {
		return nil, mysession.Explain(err, e.Name())
	}
	for _, b := range bounds {
		for i := range b {
			b[i] = r.key[i].literal(b[i])
		}
	}
	return ranges(r, bounds, e.Table.Bytes), nil
}

// bounds returns, in order, keys at which a table is cut in about n parts.
func (s *Source) bounds(ctx context.Context, r *relation, n int64) (bounds [][]string, err error) {
	err = s.with(ctx, func(w *worker) (err error) {
		if r.key[0].integer() {
			if bounds, err = w.integerBounds(ctx, r, n); err != nil || len(bounds) > 0 {
				return err
			}
		}
		bounds, err = w.walk(ctx, r, n)
		return err
	})
	return bounds, err
}

// integerBounds cuts evenly between the least and the greatest value; none where there are fewer
// values than parts.
func (w *worker) integerBounds(ctx context.Context, r *relation, n int64) ([][]string, error) {
	key := mysession.Ident(r.key[0].name)
	row, err := w.sess.Row(ctx, fmt.Sprintf("SELECT MIN(%s), MAX(%s) FROM %s", key, key, r.from()))
	if err != nil || row[0] == "" {
		return nil, err
	}
	lo, hi, err := integers(row[0], row[1])
	if err != nil {
		return nil, err
	}
	// In unsigned arithmetic: the keys may span all of 64 bits.
	span := hi.bits - lo.bits
	if span < uint64(n) {
		return nil, nil
	}
	step := span/uint64(n) + 1
	var out [][]string
	for at := step; at <= span; at += step {
		out = append(out, []string{lo.plus(at)})
		if at > span-step {
			break // at + step would be beyond 64 bits
		}
	}
	return out, nil
}

// walk goes along the key and takes every so-manieth of its values. It reads the key once.
func (w *worker) walk(ctx context.Context, r *relation, n int64) ([][]string, error) {
	step := max(r.rows/n, 1)
	names := make([]string, len(r.key))
	for i, c := range r.key {
		names[i] = mysession.Ident(c.name)
	}
	list := strings.Join(names, ", ")
	var out [][]string
	for where := ""; len(out) < maxChunks; {
		// Not by Row: the walk ends where there is none.
		rows, err := w.sess.Rows(ctx, fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT 1 OFFSET %d", keyExpressions(r), r.from(), where, list, step))
		if err != nil || len(rows) == 0 {
			return out, err
		}
		out = append(out, rows[0])
		bound := make([]string, len(rows[0]))
		for i, v := range rows[0] {
			bound[i] = r.key[i].literal(v)
		}
		where = " WHERE " + compare(r, bound, ">", ">")
	}
	return out, nil
}

func keyExpressions(r *relation) string {
	var e []string
	for _, c := range r.key {
		e = append(e, c.expression())
	}
	return strings.Join(e, ", ")
}

// ranges are the chunks between bounds, which are given as literals.
func ranges(r *relation, bounds [][]string, bytes int64) []stream.Chunk {
	var out []stream.Chunk
	for i := 0; i <= len(bounds); i++ {
		var cond []string
		if i > 0 {
			cond = append(cond, compare(r, bounds[i-1], ">", ">="))
		}
		if i < len(bounds) {
			cond = append(cond, compare(r, bounds[i], "<", "<"))
		}
		out = append(out, stream.Chunk{Format: stream.FormatText, Range: stream.Text(strings.Join(cond, " AND ")), Bytes: bytes / int64(len(bounds)+1)})
	}
	return out
}

// compare writes a comparison of the leading columns with bound's literals, in the form that servers find a range in: of (a, b) with (1, 2),
// a > 1 OR a = 1 AND b >= 2. Columns are never NULL. last compares the last column.
func compare(r *relation, bound []string, op, last string) string {
	var alternatives []string
	equal := ""
	for i, lit := range bound {
		q := mysession.Ident(r.key[i].name)
		o := op
		if i == len(bound)-1 {
			o = last
		}
		alternatives = append(alternatives, equal+q+" "+o+" "+lit)
		equal += q + " = " + lit + " AND "
	}
	if len(alternatives) == 1 {
		return alternatives[0]
	}
	return "(" + strings.Join(alternatives, " OR ") + ")"
}
