package dump

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// What an earlier process left lies in a bucket or on the target, and others may write there. Its plan becomes SQL
// on the source, and what it lists as finished is not read again: neither is believed as it stands.

// Planner is the ability of a Snapshot to tell its own ranges from others'.
type Planner interface {
	// CheckSplit returns an error unless the chunks, in the order of their numbers, are ranges such as
	// Split makes, and together all of the data entry.
	CheckSplit(ctx context.Context, e *stream.Entry, chunks []stream.Chunk) error
}

// Counter is the ability of a Snapshot to count a data entry's rows without sending them.
type Counter interface {
	Count(ctx context.Context, e *stream.Entry) (int64, error)
}

// checkPlan refuses a plan that this source would not have made of the entries.
func checkPlan(ctx context.Context, snap Snapshot, entries []stream.Entry, plan []stream.Chunk) error {
	refuse := func(err error) error {
		return stream.Fail(stream.NotResumable, "what the earlier process left holds a plan that is not this source's").Because(err).
			WithHint("start afresh: drop and create the target database, delete the archive, and run again")
	}
	if err := stream.CheckPlan(plan, entries); err != nil {
		return refuse(err)
	}
	planner, ok := snap.(Planner)
	if !ok {
		return nil
	}
	chunks := map[stream.DumpID][]stream.Chunk{}
	for _, c := range plan {
		if chunks[c.Table] == nil {
			chunks[c.Table] = make([]stream.Chunk, c.Of)
		}
		chunks[c.Table][c.N] = c
	}
	for i := range entries {
		if e := &entries[i]; e.Table != nil {
			if err := planner.CheckSplit(ctx, e, chunks[e.ID]); err != nil {
				if stream.KindOf(err) != stream.Failed {
					return err
				}
				return refuse(fmt.Errorf("%s: %w", e.Name(), err))
			}
		}
	}
	return nil
}

// recount compares the number of rows of the tables of which records were kept with what the snapshot holds. A
// direct run has those records from the target alone: one too many there, and a chunk would be neither
// moved nor missed, since its digest is what the target is compared with.
func recount(ctx context.Context, snap Snapshot, entries []stream.Entry, kept, all []stream.Record, o Options) error {
	counter, ok := snap.(Counter)
	if !ok || len(kept) == 0 {
		return nil
	}
	o.Observe.Send(stream.Event{Kind: stream.EventPhase, Side: "dump", Text: "count"})
	rows, asked := map[stream.DumpID]int64{}, map[stream.DumpID]bool{}
	for i := range all {
		rows[all[i].Table] += all[i].Digest.Rows
	}
	for i := range kept {
		asked[kept[i].Table] = true
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(o.Jobs, 1))
	for i := range entries {
		e := &entries[i]
		if !asked[e.ID] {
			continue
		}
		g.Go(func() error {
			n, err := counter.Count(ctx, e)
			if err != nil || n == rows[e.ID] {
				return err
			}
			return stream.Fail(stream.NotResumable, "the ledger on the target lists %d rows of %s that this run did not move, and with them it would have %d of %d",
				rows[e.ID]-moved(all, kept, e.ID), e.Name(), rows[e.ID], n).
				WithHint("the ledger was changed: drop and create the target database, and start afresh")
		})
	}
	return g.Wait()
}

// moved is how many rows of an entry came in this process.
func moved(all, kept []stream.Record, id stream.DumpID) (n int64) {
	for i := range all {
		if all[i].Table == id {
			n += all[i].Digest.Rows
		}
	}
	for i := range kept {
		if kept[i].Table == id {
			n -= kept[i].Digest.Rows
		}
	}
	return n
}
