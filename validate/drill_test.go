package validate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/pgmove/pgmove/stream"
)

// side of a made-up database: one table t (id, v) in text form, whose first column is its key.
type made struct {
	rows    []string
	keyless bool
	blind   bool                    // its server hashes nothing
	dumb    bool                    // its server's hashes are all the same
	now     func(look int) []string // what it holds when it is looked at again
	looks   int
	sent    atomic.Int64
	exact   bool
}

func (m *made) Entries(context.Context) (stream.Header, []stream.Entry, error) {
	return stream.Header{}, []stream.Entry{{ID: 7, Table: m.table()}}, nil
}

func (m *made) table() *stream.Table {
	return &stream.Table{Namespace: "public", Name: "t", Columns: []stream.Text{"id", "v"}}
}

func (m *made) Contents() ([]stream.SequenceValue, []stream.SchemaItem) { return nil, nil }

func (m *made) Split(context.Context, *stream.Entry) ([]stream.Chunk, error) {
	return []stream.Chunk{{N: 0}, {N: 1}}, nil
}

func (m *made) write(rows []string, w io.Writer) error {
	for _, r := range rows {
		m.sent.Add(1)
		if _, err := io.WriteString(w, r+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (m *made) CopyTo(_ context.Context, _ *stream.Entry, c stream.Chunk, w io.Writer) error {
	half := len(m.rows) / 2
	return m.write([][]string{m.rows[:half], m.rows[half:]}[c.N], w)
}

func (m *made) Key(context.Context, *stream.Entry) ([]int, error) {
	if m.keyless {
		return nil, nil
	}
	return []int{0}, nil
}

func (m *made) Show(_ *stream.Entry, _ string, _ int, field []byte) string { return string(field) }

func (m *made) Hashing() string {
	if m.blind {
		return ""
	}
	return "made up"
}

func (m *made) Bounds(context.Context, *stream.Entry, []int) (int64, int64, bool, error) {
	return 0, 0, false, nil
}

func (m *made) bucket(row string, c stream.Cut) int {
	if !m.keyless {
		row, _, _ = strings.Cut(row, "\t")
	}
	return int(xxh3.HashString(row)>>20) & (c.Of - 1)
}

func (m *made) Sums(_ context.Context, _ *stream.Entry, _ []int, c stream.Cut) (map[int]stream.Sum, error) {
	sums := map[int]stream.Sum{}
	for _, r := range m.rows {
		b := m.bucket(r, c)
		s := sums[b]
		h := xxh3.HashString(r)
		if m.dumb && b > 0 {
			h = 0
		}
		s.Add(stream.Sum{Rows: 1, Hashes: h})
		sums[b] = s
	}
	return sums, nil
}

func (m *made) CopySome(_ context.Context, _ *stream.Entry, _ []int, _ string, cuts []stream.Cut, now bool, w io.Writer) error {
	rows := m.rows
	if now {
		m.looks++
		rows = m.now(m.looks)
	}
	wanted := map[int]bool{}
	for _, b := range cuts[0].Only {
		wanted[b] = true
	}
	var some []string
	for _, r := range rows {
		if wanted[m.bucket(r, cuts[0])] {
			some = append(some, r)
		}
	}
	return m.write(some, w)
}

func (m *made) Side() Narrower                     { return m }
func (m *made) Find(t *stream.Table) *stream.Entry { return &stream.Entry{Table: t} }
func (m *made) Exact() bool                        { return m.exact }

func (m *made) Pieces(context.Context, []stream.TableContents) ([]Piece, error) {
	return []Piece{{Read: func(_ context.Context, w io.Writer) error { return m.write(m.rows, w) }}}, nil
}

// archived is a made-up archive.
type archived struct{ m *made }

func (a archived) Pieces(ctx context.Context, t []stream.TableContents) ([]Piece, error) {
	p, err := a.m.Pieces(ctx, t)
	p[0].Chunk = "7.dat"
	return p, err
}

// drillDown validates, and returns the one table.
func drillDown(t *testing.T, src, dst *made, o Options) (Table, error) {
	t.Helper()
	d := stream.NewDigester(stream.FormatText)
	if err := src.write(src.rows, d); err != nil {
		t.Fatal(err)
	}
	want := &stream.Contents{Tables: []stream.TableContents{{ID: 7, Table: *src.table(), Format: stream.FormatText, Digest: d.Digest()}}}
	src.sent.Store(0)
	if o.Again == nil {
		o.Again = func(context.Context) (Again, error) { return src, nil }
	}
	o.Level, o.NoSchema, o.Jobs = Rows, true, 2
	res, err := Run(t.Context(), want, dst, o)
	if err != nil {
		t.Fatal(err)
	}
	return res.Tables[0], res.Err()
}

func numbered(n int, change func(i int) string) []string {
	var rows []string
	for i := range n {
		if r := change(i); r != "" {
			rows = append(rows, fmt.Sprintf("%d\t%s", i, r))
		}
	}
	return rows
}

func same(i int) string { return fmt.Sprint("v", i) }

// few differs in four rows of which one is missing.
func few(i int) string {
	switch i {
	case 11, 4000, 7777:
		return `\N`
	case 5000:
		return ""
	}
	return same(i)
}

// TestDrill: what few differ are found whoever hashes, and a server that hashes spares almost all reading.
func TestDrill(t *testing.T) {
	for _, c := range []struct {
		name        string
		blind, dumb bool
		archive     bool
		most        int64 // rows that each side sends
	}{{"hashed by the servers", false, false, false, 3000}, {"read", true, false, false, 25000}, {"an archive", false, false, true, 25000},
		{"hashes that tell too little", false, true, false, 35000}} {
		t.Run(c.name, func(t *testing.T) {
			src, dst := &made{rows: numbered(10000, same), blind: c.blind, dumb: c.dumb, exact: true}, &made{rows: numbered(10000, few), blind: c.blind, dumb: c.dumb}
			o := Options{MaxDifferences: 100}
			if c.archive {
				o.Again = func(context.Context) (Again, error) { return archived{src}, nil }
			}
			tab, err := drillDown(t, src, dst, o)
			if stream.KindOf(err) != stream.Mismatch || !strings.Contains(err.Error(), "1 missing, 3 different (different id=11 in v") {
				t.Errorf("%v", err)
			}
			d := tab.Differences
			if tab.Verdict != Different || !d.Proved || d.Missing != 1 || d.Different != 3 || d.Extra != 0 || len(d.Rows) != 4 || d.Rows[2].Kind != RowMissing || d.Rows[2].Name() != "id=5000" {
				t.Errorf("%s %+v", tab.Verdict, d)
			}
			if (d.Rows[0].Chunk == "7.dat") != c.archive {
				t.Errorf("chunk %q", d.Rows[0].Chunk)
			}
			if s, d := src.sent.Load(), dst.sent.Load()-10000; s > c.most || d > c.most {
				t.Errorf("the sides sent %d and %d rows", s, d)
			}
		})
	}
}

// TestDrillPasses: totals are exact also where most rows differ and few are held, with and without a key.
func TestDrillPasses(t *testing.T) {
	was, kept := mostHeld, mostKept
	mostHeld, mostKept = 1000, 500
	defer func() { mostHeld, mostKept = was, kept }()
	for _, keyless := range []bool{false, true} {
		for _, blind := range []bool{false, true} {
			src, dst := &made{rows: numbered(6000, same), keyless: keyless, blind: blind, exact: true}, &made{keyless: keyless, blind: blind}
			dst.rows = numbered(6000, func(i int) string {
				if i%3 == 0 {
					return same(i)
				}
				return "other"
			})
			dst.rows = append(dst.rows, "-1\ta", "-1\ta")
			tab, _ := drillDown(t, src, dst, Options{MaxDifferences: 10, Looks: 1})
			d := tab.Differences
			want := [3]int64{0, 2, 4000}
			if keyless {
				want = [3]int64{4000, 4002, 0}
			}
			if got := [3]int64{d.Missing, d.Extra, d.Different}; got != want || !d.Proved || len(d.Rows) != 10 {
				t.Errorf("keyless %t, blind %t: %v instead of %v, %d rows, proved %t", keyless, blind, got, want, len(d.Rows), d.Proved)
			}
			if !blind && !strings.Contains(d.Note, "too many to be looked at again") {
				t.Errorf("%q", d.Note)
			}
		}
	}
}

// TestDrillInMotion: rows that become equal are no mismatch, and those that never stay the same are not passed.
func TestDrillInMotion(t *testing.T) {
	all := numbered(1000, same)
	for _, c := range []struct {
		name    string
		now     func(look int) []string
		verdict Verdict
		motion  int64
		flux    int64
		left    int64
	}{
		{"settles", func(int) []string { return all }, Equal, 4, 0, 0},
		{"stays", func(int) []string { return numbered(1000, func(i int) string { return few(i * 11) }) }, Different, 0, 0, 0},
		{"settles but for one", func(int) []string {
			return numbered(1000, func(i int) string {
				if i == 11 {
					return few(i)
				}
				return same(i)
			})
		}, Different, 3, 0, 1},
		{"never stays the same", func(look int) []string {
			return numbered(1000, func(i int) string {
				if i == 11 {
					return fmt.Sprint("look ", look)
				}
				return same(i)
			})
		}, Unstable, 3, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			broken := numbered(1000, func(i int) string {
				switch i {
				case 11, 40, 77:
					return `\N`
				case 500:
					return ""
				}
				return same(i)
			})
			src := &made{rows: all, exact: true, now: func(int) []string { return all }}
			dst := &made{rows: broken, now: c.now}
			if c.name == "stays" {
				dst.now, c.left = func(int) []string { return broken }, 4
			}
			tab, err := drillDown(t, src, dst, Options{MaxDifferences: 100, Looks: 3, Pause: time.Millisecond})
			d := tab.Differences
			if tab.Verdict != c.verdict || (err == nil) != (c.verdict == Equal) || d.InMotion != c.motion || d.Unstable != c.flux || d.Total() != c.left {
				t.Errorf("%s: %+v (%v)", tab.Verdict, d, err)
			}
			if int64(len(d.Rows)) != c.left || c.flux > 0 && !d.Rows[0].Unstable {
				t.Errorf("listed: %+v", d.Rows)
			}
			if c.left == 0 && d.Looks != 1 {
				t.Errorf("looked %d times", d.Looks)
			}
		})
	}
}

// TestDrillUnable: where rows can't be told the tables go on to differ, and it says why.
func TestDrillUnable(t *testing.T) {
	for name, again := range map[string]func(context.Context) (Again, error){
		"no source": func(context.Context) (Again, error) { return nil, errors.New("no source") },
		"damaged":   func(context.Context) (Again, error) { return damagedRows{}, nil },
	} {
		src, dst := &made{rows: numbered(10, same)}, &made{rows: numbered(9, same)}
		tab, err := drillDown(t, src, dst, Options{Again: again, MaxDifferences: 5})
		if stream.KindOf(err) != stream.Mismatch || !strings.Contains(err.Error(), "has 9 rows instead of 10") || !strings.Contains(err.Error(), name) || tab.Verdict != Different {
			t.Errorf("%s: %s, %v", name, tab.Verdict, err)
		}
	}
	// A source that has moved on is compared all the same, and is not taken for what it was.
	src, dst := &made{rows: numbered(1000, same)}, &made{rows: numbered(999, same)}
	tab, err := drillDown(t, src, dst, Options{MaxDifferences: 5, Again: func(context.Context) (Again, error) {
		return &made{rows: numbered(1001, same)}, nil
	}})
	if err == nil || tab.Differences.Proved || tab.Differences.Missing != 2 || !strings.Contains(tab.Differences.Note, "not what it was") {
		t.Errorf("%+v (%v)", tab.Differences, err)
	}
	// Not even where it looks like the target by now.
	tab, err = drillDown(t, src, dst, Options{MaxDifferences: 5, Again: func(context.Context) (Again, error) { return &made{rows: dst.rows}, nil }})
	if err == nil || tab.Verdict != Different || tab.Differences.Total() != 0 {
		t.Errorf("%s, %+v (%v)", tab.Verdict, tab.Differences, err)
	}
}

type damagedRows struct{}

func (damagedRows) Pieces(context.Context, []stream.TableContents) ([]Piece, error) {
	return []Piece{{Read: func(context.Context, io.Writer) error { return errors.New("damaged") }}}, nil
}
