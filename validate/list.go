package validate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/pgmove/pgmove/stream"
)

// longestValue is how many bytes of a value are shown.
const longestValue = 200

// kept is what is kept of a row that is listed: of each field enough to compare and to show.
type kept struct {
	chunk  string
	fields []field
}

type field struct {
	null bool
	n    int
	hash xxh3.Uint128
	head []byte // as far as the field is shown
}

func (f field) equal(o field) bool { return f.null == o.null && f.n == o.n && f.hash == o.hash }

// list reads some of the rows that differ, and says by which columns.
func (d *driller) list(ctx context.Context, x *drilled) error {
	if len(x.rows) == 0 || d.o.MaxDifferences < 1 {
		return nil
	}
	var keys []hash
	for k := range x.rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b hash) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	listed := map[hash]*[2]*kept{}
	for _, k := range keys[:min(len(keys), d.o.MaxDifferences)] {
		listed[k] = &[2]*kept{}
	}
	if x.kept != nil && x.d.Looks == 0 {
		for k := range listed {
			if l := x.kept[k]; l != nil {
				listed[k] = l
			}
		}
	} else if err := d.fetch(ctx, x, listed); err != nil {
		return err
	}
	for k, l := range listed {
		if row, ok := d.difference(x, k, x.rows[k], l); ok {
			x.d.Rows = append(x.d.Rows, row)
		}
	}
	slices.SortFunc(x.d.Rows, compareKeys)
	return nil
}

// fetch reads the rows that are to be listed.
func (d *driller) fetch(ctx context.Context, x *drilled, listed map[hash]*[2]*kept) error {
	for i, s := range []*side{x.src, x.tgt} {
		err := d.scan(ctx, x, d.pieces(x, s, x.d.Looks > 0), func(k hash, row []byte, chunk string) {
			if l := listed[k]; l != nil && l[i] == nil {
				l[i] = d.keep(x, row, chunk)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keep keeps a row; nil where its fields are not the table's.
func (d *driller) keep(x *drilled, row []byte, chunk string) *kept {
	fields, err := stream.SplitRow(x.format, row, len(x.columns), nil)
	if err != nil {
		return nil
	}
	k := &kept{chunk: chunk, fields: make([]field, len(fields))}
	for i, f := range fields {
		k.fields[i] = field{null: f == nil, n: len(f), hash: xxh3.Hash128(f)}
		if d.o.ShowValues || slices.Contains(x.key, i) {
			// Three escapes more than are shown, and a binary value whole where it is short.
			k.fields[i].head = slices.Clone(f[:min(len(f), 4*longestValue)])
		}
	}
	return k
}

// difference is what is reported of one row.
func (d *driller) difference(x *drilled, k hash, p pair, l *[2]*kept) (Difference, bool) {
	row := Difference{Unstable: x.unstable[k]}
	from := l[0]
	switch n := p.s.Rows - p.t.Rows; {
	case n > 0:
		row.Kind, row.Copies = RowMissing, n
	case n < 0:
		row.Kind, row.Copies, from = RowExtra, -n, l[1]
	default:
		row.Kind, row.Copies = RowDifferent, 1
	}
	if from == nil || row.Kind == RowDifferent && l[1] == nil {
		return row, false // it is gone since
	}
	if l[0] != nil {
		row.Chunk = l[0].chunk
	}
	for _, i := range x.key {
		row.Key = append(row.Key, Value{Column: x.columns[i].Display(), Value: d.show(x, i, from.fields[i])})
	}
	if x.key == nil {
		row.Hash = fmt.Sprintf("%016x", k[1])
	}
	for i := range from.fields {
		c := Column{Name: x.columns[i].Display(), shown: d.o.ShowValues}
		if row.Kind == RowDifferent && l[0].fields[i].equal(l[1].fields[i]) || row.Kind != RowDifferent && !d.o.ShowValues || slices.Contains(x.key, i) {
			continue
		}
		if d.o.ShowValues && row.Kind != RowExtra {
			c.Source = d.show(x, i, l[0].fields[i])
		}
		if d.o.ShowValues && row.Kind != RowMissing {
			c.Target = d.show(x, i, l[1].fields[i])
		}
		row.Columns = append(row.Columns, c)
	}
	return row, true
}

// show is a field's value for people, cut where it is long; nil for NULL.
func (d *driller) show(x *drilled, column int, f field) *string {
	if f.null {
		return nil
	}
	s := d.t.(Keyed).Show(x.g.found[0], x.format, column, f.head)
	if len(s) > longestValue || f.n > len(f.head) {
		s = s[:min(len(s), longestValue)] + "… (" + strconv.Itoa(f.n) + " bytes)"
	}
	s = stream.Text(s).Display()
	return &s
}

// compareKeys orders rows by their keys, numbers as numbers.
func compareKeys(a, b Difference) int {
	for i := range min(len(a.Key), len(b.Key)) {
		x, y := a.Key[i].Value, b.Key[i].Value
		if x == nil || y == nil {
			continue
		}
		n, err1 := strconv.ParseInt(*x, 10, 64)
		m, err2 := strconv.ParseInt(*y, 10, 64)
		if c := cmp.Compare(n, m); err1 == nil && err2 == nil && c != 0 {
			return c
		}
		if c := cmp.Compare(*x, *y); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.Hash, b.Hash)
}

// count sets the totals to what the rows come to, added to those of earlier passes.
func (d *Differences) count(rows map[hash]pair, keyed bool) {
	for _, p := range rows {
		switch n := p.s.Rows - p.t.Rows; {
		case n > 0:
			d.Missing += n
		case n < 0:
			d.Extra -= n
		case keyed:
			d.Different += p.s.Rows
		}
	}
}
