package dump

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// copying is the state that the workers share.
type copying struct {
	snap    Snapshot
	w       *stream.Writer
	entries map[stream.DumpID]*stream.Entry
	queue   *queue
	Options
}

// copyAll writes all chunks. A chunk that its reader gave back, or that an outage stopped, comes again.
func copyAll(ctx context.Context, snap Snapshot, w *stream.Writer, entries []stream.Entry, plan []stream.Chunk, o Options) error {
	c := &copying{snap: snap, w: w, entries: make(map[stream.DumpID]*stream.Entry, len(entries)), queue: newQueue(plan), Options: o}
	for i := range entries {
		c.entries[entries[i].ID] = &entries[i]
	}
	g, ctx := errgroup.WithContext(ctx)
	for n := range max(o.Jobs, 1) {
		g.Go(func() error {
			ctx := stream.WithWorker(ctx, n+1)
			for {
				chunk, ok, err := c.queue.take(ctx)
				if err != nil || !ok {
					return err
				}
				if err := c.one(ctx, chunk); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// one writes a chunk, or gives it back to the queue.
func (c *copying) one(ctx context.Context, chunk stream.Chunk) error {
	e := c.entries[chunk.Table]
	job := begin(ctx, e, chunk, c.Options)
	failed := 0
	rec, err := c.w.WriteChunk(ctx, chunk, func(dst io.Writer) error {
		err := c.snap.CopyTo(ctx, e, chunk, job.Writer(dst))
		if passing(ctx, err) {
			if failed = c.queue.failed(chunk); c.Retry.May(failed, err) {
				return stream.ComesAgain(err) // its reader must know
			}
		}
		return err
	})
	if err == nil {
		job.Done(rec.Digest.Rows, rec.RawBytes)
	}
	job.End()
	switch {
	case err == nil:
		c.queue.done()
		return nil
	case errors.Is(err, stream.ErrAbandoned) && ctx.Err() == nil:
		c.queue.giveBack(chunk, stream.Passing(err))
		return nil
	case passing(ctx, err):
		if failed == 0 { // it was read, and could not be stored
			failed = c.queue.failed(chunk)
		}
		if !c.Retry.May(failed, err) {
			break
		}
		c.Observe.Retry("dump", e.Name(), fmt.Sprintf("chunk %d of %d of %s comes again: %s", chunk.N+1, chunk.Of, e.Name(), err))
		if !c.Retry.Again(ctx, failed, err) {
			return context.Cause(ctx)
		}
		c.queue.giveBack(chunk, true)
		return nil
	}
	return fmt.Errorf("chunk %d of %d of %s: %w", chunk.N+1, chunk.Of, e.Name(), err)
}

// passing reports whether err is an outage of the source or the store, and not its reader's.
func passing(ctx context.Context, err error) bool {
	return ctx.Err() == nil && stream.Passing(err) && !errors.Is(err, stream.ErrAbandoned)
}
