package dump

import (
	"context"

	"github.com/pgmove/pgmove/stream"
)

// foretell tells observers what is to come, and which chunks stand from before.
func foretell(entries []stream.Entry, plan []stream.Chunk, kept []stream.Record, o Options) {
	if len(kept) > 0 {
		names := make(map[stream.DumpID]string, len(entries))
		for i := range entries {
			names[entries[i].ID] = entries[i].Name()
		}
		for i := range kept {
			c := &kept[i]
			o.Observe.Send(stream.Event{Kind: stream.EventChunk, Side: "dump", What: stream.WorkChunk, Object: names[c.Table], Entry: c.Table,
				Part: c.N, Parts: c.Of, Planned: c.Chunk.Bytes, Rows: c.Digest.Rows, Text: stream.TakenBefore})
		}
	}
	left := without(plan, kept)
	var bytes int64
	for _, c := range left {
		bytes += c.Bytes
	}
	o.Observe.Send(stream.Event{Kind: stream.EventPlan, Side: "dump", What: stream.WorkChunk, Count: len(left), Bytes: bytes})
}

// begin tells that a worker begins with a chunk.
func begin(ctx context.Context, e *stream.Entry, c stream.Chunk, o Options) *stream.Job {
	return o.Observe.Begin(ctx, stream.Event{Side: "dump", What: stream.WorkChunk, Object: e.Name(), Entry: e.ID,
		Part: c.N, Parts: c.Of, Planned: c.Bytes})
}
