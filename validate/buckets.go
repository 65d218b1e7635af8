package validate

import (
	"context"
	"math/bits"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

const (
	// bucketRows is about how many rows share a bucket that a server hashes, as far as mostBuckets allows.
	bucketRows  = 256
	mostBuckets = 1 << 16
	// Ranges of keys are seldom equally full: those with more than refineRows are cut again, if there are
	// no more than refineAtMost of them.
	refineRows   = 2048
	refineAtMost = 32
	refineOf     = 256
)

// selection is in which of a group's rows the differences are.
type selection struct {
	cuts []stream.Cut                // for the servers; nil for all rows
	bits *[clientBuckets / 64]uint64 // for rows that are read; nil for all rows
	rows int64                       // about how many rows that is, of the side that has more
}

// narrow asks the servers which buckets differ. It returns false where they can't tell.
func (d *driller) narrow(ctx context.Context, x *drilled) (bool, error) {
	x.sel = selection{rows: max(x.g.want.Rows, x.g.got.Rows)}
	a, b := x.src.narrow, x.tgt.narrow
	if a == nil || b == nil || a.Hashing() == "" || a.Hashing() != b.Hashing() || x.g.tables[0].Table.LargeObjects {
		return false, nil
	}
	of := 1 << bits.Len64(uint64(min(max(x.sel.rows/bucketRows, 16), mostBuckets-1)))
	cut := stream.Cut{Of: min(of, mostBuckets)}
	lo, hi, ok, err := d.bounds(ctx, x)
	if ok && err == nil && hi >= lo {
		cut.Lo, cut.Width = lo, (uint64(hi)-uint64(lo))/uint64(cut.Of)+1
	}
	cuts, rows, err := d.cut(ctx, x, cut, 2)
	if err == nil && cut.Width > 0 && rows > max(4*refineRows, x.sel.rows/16) {
		// The keys are too unevenly spread for ranges, or the differences are all over them.
		hashed, n, herr := d.cut(ctx, x, stream.Cut{Of: cut.Of}, 0)
		if herr == nil && n < rows {
			cuts, rows = hashed, n
		}
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil || len(cuts) == 0 {
		return false, nil // a server that can't hash sends what we hash
	}
	x.sel.cuts, x.sel.rows = cuts, rows
	return true, nil
}

// bounds returns the bounds of an integer key on both sides together.
func (d *driller) bounds(ctx context.Context, x *drilled) (lo, hi int64, ok bool, err error) {
	first := true
	for _, s := range []*side{x.src, x.tgt} {
		for _, e := range s.entries {
			l, h, is, err := s.narrow.Bounds(ctx, e, x.key)
			if err != nil || !is {
				return 0, 0, false, err
			}
			if first || l < lo {
				lo = l
			}
			if first || h > hi {
				hi = h
			}
			first = false
		}
	}
	return lo, hi, !first, nil
}

// cut returns the parts of a cut that differ, cut again where ranges are full, and how many rows they have.
func (d *driller) cut(ctx context.Context, x *drilled, c stream.Cut, depth int) ([]stream.Cut, int64, error) {
	var sums [2]map[int]stream.Sum
	g, gctx := errgroup.WithContext(ctx)
	for i, s := range []*side{x.src, x.tgt} {
		g.Go(func() (err error) {
			sums[i], err = s.sums(gctx, x.key, c)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, err
	}
	type differing struct {
		bucket int
		rows   int64
	}
	var all []differing
	for b, s := range sums[0] {
		if t := sums[1][b]; s != t {
			all = append(all, differing{b, max(s.Rows, t.Rows)})
		}
	}
	for b, t := range sums[1] {
		if _, ok := sums[0][b]; !ok {
			all = append(all, differing{b, t.Rows})
		}
	}
	slices.SortFunc(all, func(a, b differing) int { return a.bucket - b.bucket })
	full := 0
	for _, b := range all {
		if b.rows > refineRows {
			full++
		}
	}
	refine := c.Width > 1 && depth > 0 && full <= refineAtMost
	var out []stream.Cut
	var rows int64
	here := c
	here.Only = nil
	for _, b := range all {
		if refine && b.rows > refineRows {
			sub := stream.Cut{Of: refineOf, Lo: int64(uint64(c.Lo) + uint64(b.bucket)*c.Width), Width: (c.Width + refineOf - 1) / refineOf}
			cuts, n, err := d.cut(ctx, x, sub, depth-1)
			if err != nil {
				return nil, 0, err
			}
			out, rows = append(out, cuts...), rows+n
			continue
		}
		here.Only, rows = append(here.Only, b.bucket), rows+b.rows
	}
	if here.Only != nil {
		out = append(out, here)
	}
	return out, rows, nil
}

// sums are the sums of all of the group's tables.
func (s *side) sums(ctx context.Context, key []int, c stream.Cut) (map[int]stream.Sum, error) {
	all := map[int]stream.Sum{}
	for _, e := range s.entries {
		sums, err := s.narrow.Sums(ctx, e, key, c)
		if err != nil {
			return nil, err
		}
		for b, n := range sums {
			sum := all[b]
			sum.Add(n)
			all[b] = sum
		}
	}
	return all, nil
}
