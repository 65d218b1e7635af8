package validate

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// clientBuckets is in how many buckets rows are summed that we read ourselves: 3 MB for both sides.
const clientBuckets = 1 << 16

// How many rows are held at a time, of which each costs about 100 bytes, and how many that differ are kept
// to be looked at again. Variables for the tests alone.
var (
	mostHeld = int64(1 << 19)
	mostKept = 100_000
)

// keptBytes is about how many bytes of rows are kept, so as not to be read again to be listed.
const keptBytes = 16 << 20

// hash is the hash of a row's key, or of the whole row where it has none.
type hash = [2]uint64

// pair is the rows of one key on both sides.
type pair struct{ s, t stream.Digest }

func (p *pair) add(side int, row []byte) {
	if side == 0 {
		p.s.AddRow(row)
	} else {
		p.t.AddRow(row)
	}
}

// minus is a digest without the rows of another.
func minus(a, b stream.Digest) stream.Digest {
	neg := stream.Digest{Rows: -b.Rows, Sum: [2]uint64{^b.Sum[0], ^b.Sum[1]}}
	neg.Add(stream.Digest{Sum: [2]uint64{1, 0}})
	a.Add(neg)
	return a
}

// bucketOf is a key's bucket among clientBuckets.
func bucketOf(k hash) uint64 { return k[0] % clientBuckets }

func (s *selection) has(k hash) bool {
	b := bucketOf(k)
	return s.bits == nil || s.bits[b/64]&(1<<(b%64)) != 0
}

func readChunk(t Target, e *stream.Entry, c stream.Chunk) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error { return t.CopyTo(ctx, e, c, w) }
}

// pieces are the readers of a side's rows in the selection.
func (d *driller) pieces(x *drilled, s *side, now bool) func(context.Context) ([]Piece, error) {
	if s.narrow == nil || x.sel.cuts == nil && !now {
		return s.all
	}
	return func(context.Context) ([]Piece, error) {
		var out []Piece
		for _, e := range s.entries {
			out = append(out, Piece{Read: func(ctx context.Context, w io.Writer) error {
				return s.narrow.CopySome(ctx, e, x.key, x.format, x.sel.cuts, now, w)
			}})
		}
		return out, nil
	}
}

// scan reads rows and calls visit for those in the selection, one at a time.
func (d *driller) scan(ctx context.Context, x *drilled, of func(context.Context) ([]Piece, error), visit func(k hash, row []byte, chunk string)) error {
	pieces, err := of(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(d.o.Jobs, 1))
	for _, p := range pieces {
		g.Go(func() error {
			keys := keyer{x: x}
			w := stream.NewRowWriter(x.format, func(row []byte) error {
				k, err := keys.of(row)
				if err != nil || !x.sel.has(k) {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				visit(k, row, p.Chunk)
				return nil
			})
			if err := p.Read(gctx, w); err != nil {
				return err
			}
			x.read.Add(w.Bytes())
			return w.Close()
		})
	}
	return g.Wait()
}

// keyer finds the hash of a row's key.
type keyer struct {
	x      *drilled
	fields [][]byte
	buf    []byte
}

func (k *keyer) of(row []byte) (hash, error) {
	if len(k.x.key) == 0 {
		h := xxh3.Hash128(row)
		return hash{h.Lo, h.Hi}, nil
	}
	var err error
	if k.fields, err = stream.SplitRow(k.x.format, row, len(k.x.columns), k.fields); err != nil {
		return hash{}, err
	}
	k.buf = k.buf[:0]
	for _, i := range k.x.key {
		k.buf = binary.BigEndian.AppendUint64(k.buf, uint64(len(k.fields[i])))
		k.buf = append(k.buf, k.fields[i]...)
	}
	h := xxh3.Hash128(k.buf)
	return hash{h.Lo, h.Hi}, nil
}

// read sums all rows of both sides in buckets, and selects the buckets that differ.
func (d *driller) read(ctx context.Context, x *drilled) error {
	x.sel = selection{}
	var sums [2][]stream.Digest
	g, gctx := errgroup.WithContext(ctx)
	for i, s := range []*side{x.src, x.tgt} {
		sums[i] = make([]stream.Digest, clientBuckets)
		g.Go(func() error {
			return d.scan(gctx, x, s.all, func(k hash, row []byte, _ string) { sums[i][bucketOf(k)].AddRow(row) })
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	x.sel.bits = new([clientBuckets / 64]uint64)
	for b := range sums[0] {
		if sums[0][b] != sums[1][b] {
			x.sel.bits[b/64] |= 1 << (b % 64)
			x.sel.rows += max(sums[0][b].Rows, sums[1][b].Rows)
		}
	}
	return nil
}

// compare compares the rows of the selection, in as many passes as memory asks for, and returns
// by what the sides differ.
func (d *driller) compare(ctx context.Context, x *drilled) (stream.Digest, error) {
	x.rows, x.more = map[hash]pair{}, false
	*x.d = Differences{Key: x.d.Key}
	var all pair
	passes := uint64(x.sel.rows/mostHeld + 1)
	x.kept = nil
	if passes == 1 && d.o.MaxDifferences > 0 {
		x.kept = map[hash]*[2]*kept{}
	}
	room := keptBytes
	for pass := range passes {
		rows := map[hash]pair{}
		for i, s := range []*side{x.src, x.tgt} {
			err := d.scan(ctx, x, d.pieces(x, s, false), func(k hash, row []byte, chunk string) {
				if k[1]%passes != pass {
					return
				}
				all.add(i, row)
				p := rows[k]
				p.add(i, row)
				if i == 1 && p.s == p.t {
					delete(rows, k)
					delete(x.kept, k)
					return
				}
				rows[k] = p
				if room -= len(row) + 16*len(x.columns); room < 0 {
					x.kept = nil // list reads them once more
				}
				if x.kept != nil {
					if x.kept[k] == nil {
						x.kept[k] = &[2]*kept{}
					}
					x.kept[k][i] = d.keep(x, row, chunk)
				}
			})
			if err != nil {
				return stream.Digest{}, err
			}
		}
		x.d.count(rows, x.key != nil)
		for k, p := range rows {
			if x.more = len(x.rows) == mostKept; x.more {
				break
			}
			x.rows[k] = p
		}
		if passes == 1 {
			break
		}
	}
	return minus(all.s, all.t), nil
}
