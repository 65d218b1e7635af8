package validate

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// driller finds the rows by which tables differ, table by table and in bounded memory: first by the sums of buckets of rows,
// which the servers compute where they can, then by the hashes of the rows in the buckets that differ, and last of all by
// the columns of as many of those rows as are to be listed.
type driller struct {
	t     Target
	again Again
	o     Options
}

// drilled is what is known of a group's rows.
type drilled struct {
	g        *group
	d        *Differences
	src, tgt *side
	key      []int
	columns  []stream.Text
	format   string
	sel      selection
	rows     map[hash]pair      // that differ, as far as they are kept
	more     bool               // not all of them are
	kept     map[hash]*[2]*kept // what is to be listed of them; nil where that must be read again
	unstable map[hash]bool
	read     atomic.Int64
}

// side is one of the sides of a group.
type side struct {
	all     func(ctx context.Context) ([]Piece, error) // the group's rows
	narrow  Narrower                                   // nil where there is none
	entries []*stream.Entry                            // the group's tables, for narrow
}

// drill compares the groups that differ row by row. Only the end of ctx is an error: what can't be told
// is noted, and the tables go on to differ.
func drill(ctx context.Context, t Target, groups []*group, o Options) error {
	var differing []*group
	for _, g := range groups {
		if len(g.gone) == 0 && g.want != g.got {
			differing = append(differing, g)
		}
	}
	if len(differing) == 0 {
		return nil
	}
	o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "validate", Text: "differences"})
	unable := func(why string) error {
		for _, g := range differing {
			g.differences = &Differences{Note: "which rows differ can't be told: " + why}
		}
		return ctx.Err()
	}
	if o.Again == nil {
		return unable("digests alone don't tell; compare with the source (--source) or with the archive (--archive)")
	}
	again, err := o.Again(ctx)
	if err != nil {
		return unable(err.Error())
	}
	if _, ok := t.(Keyed); !ok {
		return unable("this engine's rows can't be told apart")
	}
	d := &driller{t: t, again: again, o: o}
	var all []*drilled
	for _, g := range differing {
		x := &drilled{g: g, d: &Differences{}, unstable: map[hash]bool{}}
		g.differences = x.d
		all = append(all, x)
		err := d.find(ctx, x)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			x.d.Note, x.rows = "which rows differ can't be told: "+err.Error(), nil
		}
	}
	if err := d.settle(ctx, all); err != nil {
		return err
	}
	for _, x := range all {
		err := d.list(ctx, x)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			x.d.addNote("the rows can't be listed: " + err.Error())
		}
		x.d.BytesRead = x.read.Load()
		x.rows, x.kept = nil, nil
	}
	return nil
}

func (d *Differences) addNote(s string) {
	if d.Note != "" {
		d.Note += "; "
	}
	d.Note += s
}

// open finds a group's tables on both sides, and their key.
func (d *driller) open(ctx context.Context, x *drilled) error {
	x.format, x.columns = x.g.tables[0].Format, x.g.tables[0].Table.Columns
	if x.g.tables[0].Table.LargeObjects {
		x.columns = []stream.Text{"oid", "offset", "data"}
	}
	for _, tc := range x.g.tables {
		if tc.Format != x.format {
			return fmt.Errorf("its partitions' digests are of different forms of rows")
		}
	}
	x.tgt = &side{entries: x.g.found, all: func(ctx context.Context) ([]Piece, error) { return targetPieces(ctx, d.t, x) }}
	x.tgt.narrow, _ = d.t.(Narrower)
	x.src = &side{all: func(ctx context.Context) ([]Piece, error) { return d.again.Pieces(ctx, x.g.tables) }}
	if l, ok := d.again.(Living); ok {
		x.src.narrow = l.Side()
		for i := range x.g.tables {
			e := l.Find(&x.g.tables[i].Table)
			if e == nil {
				return fmt.Errorf("%s is no longer on the source", tableName(&x.g.tables[i].Table))
			}
			x.src.entries = append(x.src.entries, e)
		}
	}
	keyed := d.t.(Keyed)
	for i, e := range x.g.found {
		key, err := keyed.Key(ctx, e)
		if err != nil {
			return err
		}
		if i > 0 && fmt.Sprint(key) != fmt.Sprint(x.key) {
			key = nil
		}
		if x.key = key; key == nil {
			break
		}
	}
	for _, i := range x.key {
		x.d.Key = append(x.d.Key, x.columns[i].Display())
	}
	return nil
}

func targetPieces(ctx context.Context, t Target, x *drilled) ([]Piece, error) {
	var out []Piece
	for _, e := range x.g.found {
		cs, err := t.Split(ctx, e)
		if err != nil {
			return nil, err
		}
		for _, c := range cs {
			c.Format = x.format
			out = append(out, Piece{Read: readChunk(t, e, c)})
		}
	}
	return out, nil
}

// find finds the rows that differ.
func (d *driller) find(ctx context.Context, x *drilled) error {
	if err := d.open(ctx, x); err != nil {
		return err
	}
	l, living := d.again.(Living)
	exact := !living || l.Exact()
	narrowed, err := d.narrow(ctx, x)
	if err != nil {
		return err
	}
	if narrowed {
		diff, err := d.compare(ctx, x)
		if err != nil {
			return err
		}
		if x.d.Proved = diff == minus(x.g.want, x.g.got); x.d.Proved || !exact && x.d.Total() > 0 {
			d.noteMoved(x, exact)
			return nil
		}
	}
	// The server's hashes told too little, or there are none.
	if err := d.read(ctx, x); err != nil {
		return err
	}
	diff, err := d.compare(ctx, x)
	if err != nil {
		return err
	}
	x.d.Proved = diff == minus(x.g.want, x.g.got)
	d.noteMoved(x, exact)
	return nil
}

func (d *driller) noteMoved(x *drilled, exact bool) {
	switch {
	case x.d.Proved:
	case !exact:
		x.d.addNote("the source is not what it was at its snapshot: rows that changed there since are among these")
	default:
		x.d.addNote("these rows are not all that the digests differ by")
	}
}

// settle looks again at rows that differ, where both sides live.
func (d *driller) settle(ctx context.Context, all []*drilled) error {
	var left []*drilled
	for _, x := range all {
		switch {
		case len(x.rows) == 0 || d.o.Looks < 1 || x.src.narrow == nil || x.tgt.narrow == nil:
		case x.more:
			x.d.addNote(fmt.Sprintf("%d rows are too many to be looked at again", x.d.Total()))
		default:
			left = append(left, x)
		}
	}
	for look := 1; look <= d.o.Looks && len(left) > 0; look++ {
		t := time.NewTimer(d.o.Pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
		var still []*drilled
		for _, x := range left {
			err := d.look(ctx, x)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				x.d.addNote("its rows could not be looked at again: " + err.Error())
				continue
			}
			x.d.Looks = look
			if len(x.rows) > 0 {
				still = append(still, x)
			}
		}
		left = still
	}
	return nil
}

// look reads the rows that differ as they are now, and drops those that are equal.
func (d *driller) look(ctx context.Context, x *drilled) error {
	now := make(map[hash]pair, len(x.rows))
	for k := range x.rows {
		now[k] = pair{}
	}
	for i, s := range []*side{x.src, x.tgt} {
		err := d.scan(ctx, x, d.pieces(x, s, true), func(k hash, row []byte, _ string) {
			if p, ok := now[k]; ok {
				p.add(i, row)
				now[k] = p
			}
		})
		if err != nil {
			return err
		}
	}
	for k, p := range now {
		switch was := x.rows[k]; {
		case p.s == p.t:
			delete(x.rows, k)
			delete(x.unstable, k)
			x.d.InMotion += max(was.s.Rows, was.t.Rows)
		case p != was:
			x.rows[k] = p
			x.unstable[k] = true
		}
	}
	x.d.Missing, x.d.Extra, x.d.Different = 0, 0, 0
	x.d.count(x.rows, x.key != nil)
	x.d.Unstable = int64(len(x.unstable))
	return nil
}
