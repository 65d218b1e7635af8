// Package restore applies an archive to a target: pre-data in order, rows by several loaders,
// each table's indexes and constraints as soon as its last chunk is in, then what must
// come last.
//
// It imports stream and nothing else of pgmove; an engine package implements
// Target. It never connects to a database itself, knows no engine's SQL and never
// runs a database's own tools.
package restore

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// Target is a database that takes an archive. Its methods, Prepare and Finish
// apart, are called from several goroutines.
type Target interface {
	// Prepare checks that the target can take the entries, before anything is
	// changed there, and then makes the ledger and holds it against other runs; or it takes over the
	// ledger that an earlier process left, where it is a Resumer and was told to. The plan is kept there.
	Prepare(ctx context.Context, h *stream.Header, entries []stream.Entry, plan []stream.Chunk) error
	// Exec applies entries, in order, and writes their ledger rows, in one transaction; see also OneByOne.
	Exec(ctx context.Context, entries []*stream.Entry) error
	// CopyFrom loads a chunk and writes its ledger row, in one transaction; it
	// calls rows.Verify before it commits.
	CopyFrom(ctx context.Context, e *stream.Entry, c stream.Chunk, rows stream.Rows) error
	// Analyze gathers the statistics of tables, given by the entries that create them.
	Analyze(ctx context.Context, tables []*stream.Entry) error
	// Finish drops the ledger, after everything was verified.
	Finish(ctx context.Context) error
}

// Resumer is the ability of a Target to go on where an earlier process of the run stopped.
type Resumer interface {
	// Taken returns what the target has taken already, after Prepare.
	Taken() stream.Taken
}

// OneByOne is the ability of a Target whose server commits each definition by itself: Exec gets one entry at a time, and
// writes its ledger row after it. What is there without a row it takes for done if it is what the entry would make.
type OneByOne interface{ OneByOne() bool }

// RoleMaker is the ability of a Target to create roles that it lacks, in Prepare.
type RoleMaker interface {
	// TakeRoles hands over the roles of the source.
	TakeRoles([]stream.Role)
}

// later is an error of a chunk that may load once other tables are there: a
// CHECK constraint that reads them.
type later interface{ Later() bool }

// Options tunes a restore.
type Options struct {
	// Jobs is how many chunks are loaded at a time, and how many indexes built; 1
	// where it is less.
	Jobs int
	// Continue collects failed entries instead of stopping at the first.
	Continue bool
	// NoAnalyze leaves the planner's statistics to others.
	NoAnalyze bool
	// Roles has the target create the archive's roles that it lacks.
	Roles bool
	// StageFrom is the size of tables, in bytes, from which entries are applied in stages where the
	// target can do that; 8 MiB where it is 0.
	StageFrom int64
	// Check, where it isn't nil, reads tables back while others are still loaded.
	Check Checker
	// Retry is for chunks and entries that an outage stopped.
	Retry   stream.Retry
	Observe stream.Observer
	// Sections are those to restore, of an archive that has more; empty for all that it has. SchemaOnly
	// leaves materialized views unfilled.
	Sections   []stream.Section
	SchemaOnly bool
}

// maxBatch is how many entries share a transaction at the most: each holds locks
// until its end, and the lock table is finite.
const maxBatch = 200

// Run restores the archive. It returns once everything is applied; the ledger stays.
func Run(ctx context.Context, r *stream.Reader, t Target, o Options) error {
	rs := &run{reader: r, target: t, Options: o, halves: map[stream.DumpID]bool{}}
	h, err := r.Header(ctx)
	if err != nil {
		return err
	}
	narrow := *h
	if narrow.Source.Selection, err = h.Source.Selection.Only(o.Sections, o.SchemaOnly); err != nil {
		return err
	}
	h, rs.selection = &narrow, &narrow.Source.Selection
	entries, err := r.Entries(ctx)
	if err != nil {
		return err
	}
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	if m, ok := t.(RoleMaker); ok && o.Roles {
		roles, err := r.Roles(ctx)
		if err != nil {
			return err
		}
		m.TakeRoles(roles)
	}
	if err := t.Prepare(ctx, h, entries, plan); err != nil {
		return err
	}
	if !rs.selection.Has(stream.Data) {
		r.NoData()
		plan = nil
	}
	rs.index(entries, plan)
	if err := rs.resume(plan); err != nil {
		return err
	}
	rs.foretell(plan)
	rs.phase("pre-data")
	if err := rs.inOrder(ctx, rs.pick(stream.PreData, stream.MainPass)); err != nil {
		return err
	}
	rs.phase("data and indexes")
	if err := rs.load(ctx); err != nil {
		return err
	}
	for _, p := range []struct {
		pass stream.Pass
		name string
	}{{stream.ACLPass, "privileges"}, {stream.RefreshPass, "materialized views"}, {stream.DatabasePass, "database properties"}, {stream.LastPass, "event triggers and events"}} {
		list := rs.pick(0, p.pass)
		if len(list) == 0 {
			continue
		}
		rs.phase(p.name)
		if p.pass == stream.RefreshPass {
			err = rs.graph(ctx, list)
		} else {
			err = rs.inOrder(ctx, list)
		}
		if err != nil {
			return err
		}
	}
	if err := r.Confirm(ctx); err != nil {
		return err
	}
	rs.phase("")
	return rs.verdict()
}

type run struct {
	reader *stream.Reader
	target Target
	Options
	entries []stream.Entry
	byID    map[stream.DumpID]*stream.Entry
	chunks  map[stream.DumpID]int // chunks of each data entry
	formats map[stream.DumpID]string
	family  *family
	weights map[stream.DumpID]int64 // of post-data entries: the bytes of the tables they work on
	// selection tells which entries are restored; the others count as done.
	selection *stream.Selection
	taken     stream.Taken

	mu     sync.Mutex
	failed []error
	halves map[stream.DumpID]bool // entries whose first stage failed
}

func (r *run) index(entries []stream.Entry, plan []stream.Chunk) {
	r.entries = entries
	r.byID = make(map[stream.DumpID]*stream.Entry, len(entries))
	for i := range entries {
		r.byID[entries[i].ID] = &entries[i]
	}
	r.chunks = map[stream.DumpID]int{}
	r.formats = map[stream.DumpID]string{}
	for _, c := range plan {
		r.chunks[c.Table]++
		r.formats[c.Table] = c.Format
	}
	r.family = newFamily(entries)
}

func (r *run) phase(name string) {
	r.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "restore", Text: name})
}

// pick returns the entries of a section (0 for all) and pass that are still to apply, in archive order.
func (r *run) pick(s stream.Section, p stream.Pass) []*stream.Entry {
	var out []*stream.Entry
	for i := range r.entries {
		e := &r.entries[i]
		if (s == 0 || e.Section == s) && e.Pass == p && e.Table == nil && r.selection.Wants(e) && !r.taken.Entries[e.ID] {
			out = append(out, e)
		}
	}
	return out
}

// inOrder applies entries one after the other, in batches.
func (r *run) inOrder(ctx context.Context, list []*stream.Entry) error {
	for len(list) > 0 {
		n := min(len(list), maxBatch)
		if err := r.exec(ctx, list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// exec applies a batch. When that fails its transaction is gone, and the entries
// are applied one by one, so that the failing one is named.
func (r *run) exec(ctx context.Context, batch []*stream.Entry) error {
	if o, ok := r.target.(OneByOne); ok && o.OneByOne() && len(batch) > 1 {
		return r.eachOne(ctx, batch)
	}
	job := r.begin(ctx, stream.WorkEntry, batch)
	err := r.outlasting(ctx, batch[0], func() error { return r.target.Exec(ctx, batch) })
	if err == nil {
		for _, e := range batch {
			job.Applied(e, objectOf(e), r.weights[e.ID], len(batch))
		}
	}
	job.End()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || stream.KindOf(err) == stream.Outage {
		return err
	}
	if len(batch) == 1 {
		return r.fail(batch[0], err)
	}
	return r.eachOne(ctx, batch)
}

func (r *run) eachOne(ctx context.Context, batch []*stream.Entry) error {
	for i := range batch {
		if err := r.exec(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// outlasting does f again and again while an outage stops it.
func (r *run) outlasting(ctx context.Context, e *stream.Entry, f func() error) error {
	for failed := 1; ; failed++ {
		err := f()
		if err == nil || ctx.Err() != nil || !r.Retry.May(failed, err) {
			return err
		}
		r.Observe.Retry("restore", objectOf(e), fmt.Sprintf("%s %s is tried again: %s", e.Desc.Display(), e.Name(), err))
		if !r.Retry.Again(ctx, failed, err) {
			return err
		}
	}
}

// fail returns err, or keeps it for the end where the run is to continue.
func (r *run) fail(e *stream.Entry, err error) error {
	if !r.Continue {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, err)
	if e.Early {
		r.halves[e.ID] = true
	}
	r.Observe.Warn("restore", err.Error())
	return nil
}

func (r *run) verdict() error {
	if len(r.failed) == 0 {
		return nil
	}
	var b strings.Builder
	for i, e := range r.failed {
		if i == 20 {
			fmt.Fprintf(&b, "\n  … and %d more", len(r.failed)-i)
			break
		}
		b.WriteString("\n  " + e.Error())
	}
	return stream.Fail(stream.Failed, "%d entries failed:%s", len(r.failed), b.String())
}

// graph applies entries by their dependencies, several at a time.
func (r *run) graph(ctx context.Context, list []*stream.Entry) error {
	var tasks []*task
	for _, e := range list {
		tasks = append(tasks, &task{entry: e})
	}
	s := newScheduler(nil, tasks)
	g, ctx := errgroup.WithContext(ctx)
	for n := range max(r.Jobs, 1) {
		g.Go(func() error { return r.build(r.builder(ctx, n), s, applies) })
	}
	return g.Wait()
}

// build does tasks as they become ready, those of the kind from and the ones after it.
func (r *run) build(ctx context.Context, s *scheduler, from kind) error {
	for {
		batch, err := s.take(ctx, from)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := r.do(ctx, batch); err != nil {
			return err
		}
		s.finish(batch)
	}
}

// analyze gathers statistics. They are no data: without them the target is whole, so
// a table that can't be analyzed is a warning.
func (r *run) analyze(ctx context.Context, list []*stream.Entry) error {
	job := r.begin(ctx, stream.WorkAnalyze, list)
	err := r.outlasting(ctx, list[0], func() error { return r.target.Analyze(ctx, list) })
	job.End()
	if err == nil || ctx.Err() != nil || stream.KindOf(err) == stream.Outage {
		return err
	}
	if len(list) == 1 {
		r.Observe.Warn("restore", err.Error())
		return nil
	}
	for i := range list {
		if err := r.analyze(ctx, list[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}
