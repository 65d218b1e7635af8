// Package validate compares a target with what a snapshot held: rows by count or
// by digest, sequences, and the schema entry by entry.
//
// It imports stream and nothing else of pgmove. It reads the target through the
// same methods that read a source, writes nothing, and never calls a thing equal
// that it didn't compare.
package validate

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// Target is the target, opened for reading.
type Target interface {
	// Entries returns what the target holds now.
	Entries(ctx context.Context) (stream.Header, []stream.Entry, error)
	// Contents returns its sequences and its schema, after Entries.
	Contents() ([]stream.SequenceValue, []stream.SchemaItem)
	Split(ctx context.Context, e *stream.Entry) ([]stream.Chunk, error)
	CopyTo(ctx context.Context, e *stream.Entry, c stream.Chunk, w io.Writer) error
}

// Counter is the ability of a Target to count a table's rows without reading them to us.
type Counter interface {
	Count(ctx context.Context, e *stream.Entry) (int64, error)
}

// Level says how much is compared.
type Level string

// The levels. All but None compare sequences and schema as well.
const (
	None   Level = "none"
	Count  Level = "count"
	Digest Level = "digest"
	// Rows is Digest, and names the rows by which tables differ.
	Rows Level = "rows"
)

// Reads reports whether all rows are read, and not only counted.
func (l Level) Reads() bool { return l == Digest || l == Rows }

// ParseLevel reads a level's name.
func ParseLevel(s string) (Level, error) {
	switch l := Level(s); l {
	case None, Count, Digest, Rows:
		return l, nil
	}
	return "", stream.Fail(stream.Usage, "no such validation: %q", s).WithHint("use none, count, digest or rows")
}

// Options tunes a validation.
type Options struct {
	Level Level
	Jobs  int
	// NoSchema leaves the schema out; the result says that it is unverified.
	NoSchema bool
	// NoOwner and NoACL leave owners and privileges out of the comparison.
	NoOwner, NoACL bool
	// Others says that the target may hold more than what was moved: it is a warning.
	Others bool
	// Early, where it isn't nil, is what was read while the target was being loaded.
	Early *Early
	// Again, where it isn't nil, opens what has the expected rows, once level Rows needs them.
	Again func(ctx context.Context) (Again, error)
	// MaxDifferences is how many of a table's rows that differ are listed; ShowValues lists their values and not only
	// their keys.
	MaxDifferences int
	ShowValues     bool
	// Looks is how often rows that differ are looked at again, each time after Pause, where both sides are databases.
	Looks int
	Pause time.Duration
	// Unverified is what the caller left out.
	Unverified []string
	// Memo, where it isn't nil, knows verdicts of an earlier validation, and keeps those of this one.
	Memo    Memo
	Observe stream.Observer
}

// Verdict is what a comparison came to.
type Verdict string

// The verdicts.
const (
	Equal     Verdict = "equal"
	Counted   Verdict = "counted" // the count is equal, the rows were not compared
	Different Verdict = "different"
	Missing   Verdict = "missing"
	// Unstable tables differ only by rows that never stayed the same while they were looked at: it is no pass.
	Unstable   Verdict = "unstable"
	Unverified Verdict = "unverified"
)

// Table is the verdict on a table, or on a partition root with all that is loaded through it.
type Table struct {
	Name    string        `json:"name"`
	IDs     []int32       `json:"ids"`
	Verdict Verdict       `json:"verdict"`
	Source  stream.Digest `json:"source"`
	Target  stream.Digest `json:"target"`
	Note    string        `json:"note,omitempty"`
	// Checked is when an earlier validation came to this verdict; nil where it is of this one.
	Checked *time.Time `json:"checked,omitempty"`
	// Differences are the rows that differ, at level Rows.
	Differences *Differences `json:"differences,omitempty"`
}

// Result is what a validation found.
type Result struct {
	Level      Level    `json:"level"`
	Tables     []Table  `json:"tables"`
	Sequences  int      `json:"sequences"` // compared
	Schema     int      `json:"schema"`    // entries compared
	Mismatches []string `json:"mismatches,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
	// Unverified lists what was not compared, and why.
	Unverified []string `json:"unverified,omitempty"`
}

// Err returns a Failure of kind Mismatch that names what differs, nil where nothing does.
func (r *Result) Err() error {
	if len(r.Mismatches) == 0 {
		return nil
	}
	places := "places"
	if len(r.Mismatches) == 1 {
		places = "place"
	}
	f := stream.Fail(stream.Mismatch, "the target differs from the source in %d %s", len(r.Mismatches), places)
	for i, m := range r.Mismatches {
		if i == 20 {
			f.Msg += fmt.Sprintf("\n  … and %d more", len(r.Mismatches)-i)
			break
		}
		f.Msg += "\n  " + m
	}
	if r.Level == Digest && slices.ContainsFunc(r.Tables, func(t Table) bool { return t.Verdict == Different }) {
		return f.WithHint("pgmove validate --validate rows, with --source or --archive, names the rows that differ")
	}
	return f
}

// Run compares the target with the snapshot's contents.
func Run(ctx context.Context, want *stream.Contents, t Target, o Options) (*Result, error) {
	res := &Result{Level: o.Level, Unverified: slices.Clone(o.Unverified)}
	if o.Level == None {
		return res, nil
	}
	o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "validate", Text: "schema"})
	h, entries, err := t.Entries(ctx)
	if err != nil {
		return nil, err
	}
	o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "validate", Text: "rows"})
	if err := compareTables(ctx, want, t, entries, o, res); err != nil {
		return nil, err
	}
	sel := &want.Header.Source.Selection
	res.Unverified = append(res.Unverified, sel.LeftOut()...)
	for i := range want.Schema {
		it := &want.Schema[i]
		if it.Desc == "MATERIALIZED VIEW" && sel.SchemaOnly {
			res.Unverified = append(res.Unverified, "materialized views are left unfilled (--schema-only)")
			break
		}
		// Their filling is post-data, and moved without what creates them where that alone is chosen.
		if it.Desc == "MATERIALIZED VIEW DATA" && sel.Has(stream.PostData) {
			view := stream.SchemaItem{Desc: "MATERIALIZED VIEW", Namespace: it.Namespace, Tag: it.Tag}
			res.Unverified = append(res.Unverified, view.Name()+": filled anew on the target, its rows are not compared")
		}
	}
	seqs, schema := t.Contents()
	compareSequences(want.Sequences, seqs, res)
	switch {
	case !sel.Has(stream.PreData) && !sel.Has(stream.PostData):
	case o.NoSchema || want.Header.Source.DumpTool == "":
		res.Unverified = append(res.Unverified, "the schema: it was not compared")
	default:
		compareSchema(want, h, schema, o, res)
	}
	return res, nil
}

// group is what compares as one: a table, or the partitions loaded through one root.
type group struct {
	name   string
	tables []stream.TableContents
	want   stream.Digest
	got    stream.Digest
	gone   []string
	note   string
	found  []*stream.Entry // on the target
	left   int             // chunks still to be compared

	differences *Differences
	checked     *time.Time // an earlier validation found it equal
}

func compareTables(ctx context.Context, want *stream.Contents, t Target, entries []stream.Entry, o Options, res *Result) error {
	byName := map[[2]stream.Text]*stream.Entry{}
	for i := range entries {
		if e := &entries[i]; e.Table != nil {
			byName[[2]stream.Text{e.Table.Namespace, e.Table.Name}] = e
		}
	}
	groups := groupTables(want.Tables)
	type job struct {
		g *group
		e *stream.Entry
		c stream.Chunk
		// id is the table's in the contents; on the target it has another.
		id stream.DumpID
	}
	var jobs []job
	byRows := o.Level.Reads()
	for _, g := range groups {
		if g.known(o.Memo, byRows) {
			continue
		}
		if got, ok := o.Early.found(g); ok && byRows && got == g.want {
			g.got = got
			continue
		}
		for _, tc := range g.tables {
			found := byName[[2]stream.Text{tc.Table.Namespace, tc.Table.Name}]
			if found == nil {
				if !tc.Table.LargeObjects || tc.Digest.Rows > 0 {
					g.gone = append(g.gone, tableName(&tc.Table))
				}
				continue
			}
			e := *found
			table := tc.Table
			table.Bytes = found.Table.Bytes
			e.Table = &table
			g.found = append(g.found, &e)
			cs := []stream.Chunk{{Format: tc.Format}}
			if byRows || tc.Table.LargeObjects {
				var err error
				if cs, err = t.Split(ctx, &e); err != nil {
					return err
				}
			}
			for _, c := range cs {
				c.Format = tc.Format
				jobs = append(jobs, job{g, &e, c, tc.ID})
				g.left++
			}
		}
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return int(min(max(b.c.Bytes-a.c.Bytes, -1), 1)) })
	plan := stream.Event{Kind: stream.EventPlan, Side: "validate", What: stream.WorkChunk, Count: len(jobs)}
	for _, j := range jobs {
		plan.Bytes += j.c.Bytes
	}
	o.Observe.Send(plan)
	var mu sync.Mutex
	workers := stream.NewWorkers(o.Jobs)
	waited := ctx // beyond the group's end
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(max(o.Jobs, 1))
	for _, j := range jobs {
		eg.Go(func() error {
			ctx, free := workers.Take(ctx)
			defer free()
			job := o.Observe.Begin(ctx, stream.Event{Side: "validate", What: stream.WorkChunk, Object: j.g.name, Entry: j.id,
				Part: j.c.N, Parts: j.c.Of, Planned: j.c.Bytes})
			defer job.End()
			d, bytes, err := measure(ctx, t, j.e, j.c, byRows, job)
			if err != nil {
				return fmt.Errorf("%s on the target: %w", j.e.Name(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			j.g.got.Add(d)
			job.Done(d.Rows, bytes)
			if j.g.left--; j.g.left == 0 {
				if err := j.g.keep(o.Memo, byRows); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := eg.Wait(); err != nil {
		return err
	}
	if o.Level == Rows {
		if err := drill(waited, t, groups, o); err != nil {
			return err
		}
	}
	for _, g := range groups {
		res.Tables = append(res.Tables, g.verdict(byRows, res))
	}
	res.recall()
	return nil
}

func groupTables(tables []stream.TableContents) []*group {
	var groups []*group
	routed := map[stream.DumpID]*group{}
	for _, tc := range tables {
		g := routed[tc.Table.Root]
		if g == nil {
			g = &group{name: tableName(&tc.Table)}
			if tc.Table.Root != 0 {
				g.name = tc.Table.RootName.Display()
				routed[tc.Table.Root] = g
			}
			groups = append(groups, g)
		}
		g.tables = append(g.tables, tc)
		g.want.Add(tc.Digest)
		if len(tc.Table.Generated) > 0 {
			g.note = fmt.Sprintf("%d generated columns are not compared", len(tc.Table.Generated))
		}
	}
	return groups
}

func tableName(t *stream.Table) string {
	if t.Namespace == "" {
		return t.Name.Display()
	}
	return t.Namespace.Display() + "." + t.Name.Display()
}

// measure digests a chunk on the target, or only counts it.
func measure(ctx context.Context, t Target, e *stream.Entry, c stream.Chunk, byRows bool, job *stream.Job) (stream.Digest, int64, error) {
	if counter, ok := t.(Counter); ok && !byRows && !e.Table.LargeObjects {
		n, err := counter.Count(ctx, e)
		return stream.Digest{Rows: n}, 0, err
	}
	return digest(c.Format, func(w io.Writer) error { return t.CopyTo(ctx, e, c, job.Writer(w)) })
}

// digest digests the rows that read writes, and counts their bytes.
func digest(format string, read func(io.Writer) error) (stream.Digest, int64, error) {
	d := stream.NewDigester(format)
	if err := read(d); err != nil {
		return stream.Digest{}, 0, err
	}
	return d.Digest(), d.Bytes(), d.Close()
}
