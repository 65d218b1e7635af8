// Package dump plans and schedules a dump: it asks a source's snapshot for its
// entries, splits the data entries into chunks, and has several workers write them into
// an archive.
//
// It imports stream and nothing else of pgmove; an engine package implements
// Snapshot. It never connects to a database itself and knows no engine's SQL.
package dump

import (
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// Snapshot is one consistent view of a source, held until Release.
type Snapshot interface {
	// Entries returns what the snapshot holds, with one data entry for each
	// table that has rows to copy, and the facts for the header. Entry IDs are unique.
	Entries(ctx context.Context) (stream.Header, []stream.Entry, error)
	// Split cuts a data entry into chunks; their IDs and keys are left open.
	Split(ctx context.Context, e *stream.Entry) ([]stream.Chunk, error)
	// CopyTo writes a chunk's rows, as the snapshot holds them.
	CopyTo(ctx context.Context, e *stream.Entry, c stream.Chunk, w io.Writer) error
	// Contents returns what is compared later, except for the digests: sequences and schema.
	Contents() ([]stream.SequenceValue, []stream.SchemaItem)
	// Release lets go of the snapshot and its locks, when every chunk is durable.
	Release(ctx context.Context) error
}

// Indexer is the ability of a Snapshot whose database's tools have an index of
// their own (toc.dat): it makes the index's objects once all chunks are written.
type Indexer interface {
	Index(entries []stream.Entry, plan []stream.Chunk, records []stream.Record, c stream.Compression) ([]stream.NamedObject, error)
}

// Namer is the ability of a Snapshot whose database's tools know the objects with rows by names of their own.
type Namer interface {
	// ChunkName is the name of a chunk's object, without the suffix of its compression.
	ChunkName(e *stream.Entry, c *stream.Chunk) string
}

// RoleLister is the ability of a Snapshot to tell the roles that its database refers to, for an archive that keeps them. It
// returns nil where it was not told to.
type RoleLister interface {
	Roles(ctx context.Context) ([]stream.Role, error)
}

// Options tunes a dump.
type Options struct {
	// Jobs is how many chunks are read at a time; 1 where it is less.
	Jobs int
	// Run is the run's UUID.
	Run string
	// Tool is pgmove's version.
	Tool string
	// Prior, where it isn't nil, is what an earlier dump left, to go on from. The run keeps its UUID
	// where it provably reads the same snapshot; else Run is the UUID.
	Prior *stream.Prior
	// Begun, where it isn't nil, is called once the archive's header, entries and plan are those of this run.
	Begun func()
	// Retry is for chunks whose reading, or storing, an outage stopped.
	Retry   stream.Retry
	Observe stream.Observer
}

// Run dumps the snapshot into the archive and seals it. It returns what the
// snapshot held. The snapshot is released as soon as every chunk is durable. A reader that
// follows the archive elsewhere is told when it fails.
func Run(ctx context.Context, snap Snapshot, w *stream.Writer, o Options) (*stream.Contents, error) {
	claim := o.Run
	if o.Prior != nil {
		claim = o.Prior.Header.Run
		w.Resume(o.Prior)
	}
	claimed, err := w.Claim(ctx, claim)
	if err != nil {
		return nil, err
	}
	c, err := run(claimed, snap, w, o)
	if err != nil && ctx.Err() == nil && claimed.Err() != nil {
		err = context.Cause(claimed) // why the dump was stopped, and not what it broke
	}
	w.Fail(ctx, err)
	return c, err
}

func run(ctx context.Context, snap Snapshot, w *stream.Writer, o Options) (*stream.Contents, error) {
	o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "dump", Text: "schema"})
	h, entries, err := snap.Entries(ctx)
	if err != nil {
		return nil, err
	}
	h.Run, h.Tool, h.Created = o.Run, o.Tool, time.Now().UTC().Truncate(time.Second)
	if l, ok := snap.(RoleLister); ok {
		roles, err := l.Roles(ctx)
		if err != nil {
			return nil, err
		}
		if o.Prior != nil && !w.Live() && o.Prior.Header.Roles != (roles != nil) {
			return nil, stream.Fail(stream.Usage, "the dump began with another --roles").WithHint("give --roles as it was given at first")
		}
		w.SetRoles(roles)
	}
	var plan []stream.Chunk
	var kept standing
	if o.Prior != nil {
		if kept, err = resume(ctx, snap, &h, entries, o); err != nil {
			return nil, err
		}
		plan = o.Prior.Plan
	} else if plan, err = split(ctx, snap, w, entries); err != nil {
		return nil, err
	}
	foretell(entries, plan, kept.records, o)
	if kept.same && !w.Live() {
		h, err = w.GoOn()
	} else {
		h, err = w.Begin(ctx, h, entries, plan)
	}
	if err != nil {
		return nil, err
	}
	if err := w.Keep(ctx, kept.records, kept.same); err != nil {
		return nil, err
	}
	if o.Begun != nil {
		o.Begun()
	}
	if w.Live() {
		entries = onlyData(entries) // there is no index to make, and thousands of objects take room
	}
	o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "dump", Text: "data"})
	if err := copyAll(ctx, snap, w, entries, without(plan, kept.records), o); err != nil {
		return nil, err
	}
	if kept.unread && w.Live() {
		if err := recount(ctx, snap, entries, kept.records, w.Records(), o); err != nil {
			return nil, err
		}
	}
	if err := snap.Release(ctx); err != nil {
		return nil, err
	}
	defer func() { o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "dump"}) }()
	if !w.Live() {
		o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "dump", Text: "seal"})
	}
	c := stream.NewContents(h, entries, w.Records())
	c.Sequences, c.Schema = snap.Contents()
	if w.Live() {
		return c, nil
	}
	var index []stream.NamedObject
	if ix, ok := snap.(Indexer); ok {
		if index, err = ix.Index(entries, plan, w.Records(), w.Compression()); err != nil {
			return nil, err
		}
	}
	return c, w.Seal(ctx, index, c)
}

func onlyData(entries []stream.Entry) []stream.Entry {
	var data []stream.Entry
	for i := range entries {
		if entries[i].Table != nil {
			data = append(data, entries[i])
		}
	}
	return data
}

// split makes the plan: the chunks of all data entries, largest first, so that
// the last ones to run are small.
func split(ctx context.Context, snap Snapshot, w *stream.Writer, entries []stream.Entry) ([]stream.Chunk, error) {
	next := stream.DumpID(0)
	for i := range entries {
		next = max(next, entries[i].ID, slices.Max(append(entries[i].Dependencies, 0)))
	}
	namer, _ := snap.(Namer)
	var plan []stream.Chunk
	for i := range entries {
		e := &entries[i]
		if e.Table == nil {
			continue
		}
		cs, err := snap.Split(ctx, e)
		if err != nil {
			return nil, err
		}
		for n := range cs {
			cs[n].Table, cs[n].N, cs[n].Of, cs[n].ID = e.ID, n, len(cs), e.ID
			if len(cs) > 1 {
				next++
				cs[n].ID = next
			}
			cs[n].Key = w.ChunkKey(cs[n].ID)
			if namer != nil {
				cs[n].Key = w.Key(namer.ChunkName(e, &cs[n]))
			}
		}
		plan = append(plan, cs...)
	}
	slices.SortStableFunc(plan, func(a, b stream.Chunk) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return plan, nil
}

// Measure digests the snapshot without writing an archive.
func Measure(ctx context.Context, snap Snapshot, o Options) (*stream.Contents, error) {
	return Run(ctx, snap, stream.NewWriter(discard{}, true, stream.None), o)
}

// discard is a store that keeps nothing.
type discard struct{ stream.Store }

// Put reads to the end.
func (discard) Put(_ context.Context, _ string, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
