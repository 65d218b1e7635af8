package dump

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// standing is what of an earlier dump stands: the records of the chunks that need not be read again.
type standing struct {
	records []stream.Record
	same    bool // the snapshot provably shows the same as the earlier one, and the run stays the same
	unread  bool // the records were not compared with the source
}

// resume decides what of an earlier dump stands, and completes the header.
//
// Where that can't be proven, the rows of each table that was finished are digested again under the new
// snapshot: equal ones stand, as what the new snapshot holds. All others come again whole, so that a table is never
// of two snapshots. That is another run, which says from which one it goes on.
func resume(ctx context.Context, snap Snapshot, h *stream.Header, entries []stream.Entry, o Options) (standing, error) {
	p := o.Prior
	none := standing{}
	if err := h.Source.SameOrigin(&p.Header.Source); err != nil {
		return none, err
	}
	now := stream.Prints(entries)
	if err := stream.SameSchema(p.Prints, now); err != nil {
		return none, err
	}
	if err := checkPlan(ctx, snap, entries, p.Plan); err != nil {
		return none, err
	}
	if h.Source.SameSnapshot(&p.Header.Source) {
		if stream.SameValues(p.Prints, now) && !p.Torn {
			*h = p.Header
			return standing{p.Records, true, true}, nil
		}
		h.Resumes = append(slices.Clone(p.Header.Resumes), stream.Resumed{Run: p.Header.Run})
		return standing{p.Records, false, true}, nil
	}
	o.Observe.Warn("dump", "it can't be proven that the source is as it was: what was finished is digested again")
	o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "dump", Text: "digests"})
	again, err := differing(ctx, snap, entries, o)
	if err != nil {
		return none, err
	}
	h.Resumes = append(slices.Clone(p.Header.Resumes), stream.Resumed{Run: p.Header.Run, Again: again})
	kept := slices.DeleteFunc(slices.Clone(p.Records), func(r stream.Record) bool { return slices.Contains(again, r.Table) })
	return standing{records: kept}, nil
}

// differing returns the data entries whose rows come (again): all that weren't finished whole, those that
// changed, and those that go through one root with such.
func differing(ctx context.Context, snap Snapshot, entries []stream.Entry, o Options) ([]stream.DumpID, error) {
	plan := map[stream.DumpID][]stream.Chunk{}
	for _, c := range o.Prior.Plan {
		plan[c.Table] = append(plan[c.Table], c)
	}
	done := map[stream.DumpID]int{}
	want := map[stream.DumpID]stream.Digest{}
	for i := range o.Prior.Records {
		r := &o.Prior.Records[i]
		done[r.Table]++
		d := want[r.Table]
		d.Add(r.Digest)
		want[r.Table] = d
	}
	var mu sync.Mutex
	got := map[stream.DumpID]stream.Digest{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(o.Jobs, 1))
	for i := range entries {
		e := &entries[i]
		if e.Table == nil || done[e.ID] < len(plan[e.ID]) {
			continue
		}
		for _, c := range plan[e.ID] {
			g.Go(func() error {
				dig := stream.NewDigester(c.Format)
				if err := snap.CopyTo(gctx, e, c, dig); err != nil {
					return err
				}
				if err := dig.Close(); err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				d := got[e.ID]
				d.Add(dig.Digest())
				got[e.ID] = d
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// Rows that go through one root lie anywhere below it: they come again together.
	again, roots := map[stream.DumpID]bool{}, map[stream.DumpID]bool{}
	for i := range entries {
		e := &entries[i]
		if e.Table == nil {
			continue
		}
		if done[e.ID] < len(plan[e.ID]) || got[e.ID] != want[e.ID] {
			again[e.ID] = true
		}
		if again[e.ID] && e.Table.Root != 0 {
			roots[e.Table.Root] = true
		}
	}
	var list []stream.DumpID
	for i := range entries {
		if e := &entries[i]; e.Table != nil && (again[e.ID] || roots[e.Table.Root]) {
			list = append(list, e.ID)
		}
	}
	return list, nil
}

// without returns the chunks that have no record.
func without(plan []stream.Chunk, kept []stream.Record) []stream.Chunk {
	have := make(map[stream.Part]bool, len(kept))
	for i := range kept {
		have[kept[i].Part()] = true
	}
	return slices.DeleteFunc(slices.Clone(plan), func(c stream.Chunk) bool { return have[c.Part()] })
}
