package restore

import (
	"context"

	"github.com/pgmove/pgmove/stream"
)

// foretell tells observers what is to come. Sections' entries that the target has already are no part of it.
func (r *run) foretell(plan []stream.Chunk) {
	var left int
	var bytes int64
	for _, c := range plan {
		if _, ok := r.taken.Chunks[c.Part()]; !ok {
			left++
			bytes += c.Bytes
		}
	}
	r.Observe.Send(stream.Event{Kind: stream.EventPlan, Side: "restore", What: stream.WorkChunk, Count: left, Bytes: bytes})
	r.weights = map[stream.DumpID]int64{}
	var n [stream.PostData + 1]int
	var weight [stream.PostData + 1]int64
	for i := range r.entries {
		e := &r.entries[i]
		if e.Table == nil && !r.taken.Entries[e.ID] && e.Section <= stream.PostData {
			n[e.Section]++
			if e.Section == stream.PostData {
				r.weights[e.ID] = r.weigh(e)
				weight[e.Section] += r.weights[e.ID]
			}
		}
	}
	for s := stream.PreData; s <= stream.PostData; s++ {
		if n[s] > 0 {
			r.Observe.Send(stream.Event{Kind: stream.EventPlan, Side: "restore", What: stream.WorkEntry, Section: s, Count: n[s], Bytes: weight[s]})
		}
	}
	if r.Check == nil {
		return
	}
	var parts int
	bytes = 0
	for i := range r.entries {
		if e := &r.entries[i]; e.Table != nil {
			if n := r.Check.Parts(e); n > 0 {
				parts += n
				bytes += e.Table.Bytes
			}
		}
	}
	r.Observe.Send(stream.Event{Kind: stream.EventPlan, Side: "validate", What: stream.WorkChunk, Count: parts, Bytes: bytes})
}

// weigh returns the size of the largest table that an entry works on, in bytes, by the source's estimate.
func (r *run) weigh(e *stream.Entry) int64 {
	var n int64
	for _, d := range e.Dependencies {
		n = max(n, r.family.sizeOf(d))
	}
	return n
}

// objectOf names an entry with what it is.
func objectOf(e *stream.Entry) string { return e.Desc.Display() + " " + e.Name() }

// begin tells that a worker begins with entries.
func (r *run) begin(ctx context.Context, what stream.Work, list []*stream.Entry) *stream.Job {
	e := list[0]
	object := objectOf(e)
	if what == stream.WorkAnalyze {
		object = e.Name()
	}
	return r.Observe.Begin(ctx, stream.Event{Side: "restore", What: what, Object: object, Entry: e.ID, Section: e.Section,
		Count: len(list), Planned: r.weights[e.ID]})
}

// beginChunk tells that a worker begins to load a chunk.
func (r *run) beginChunk(ctx context.Context, e *stream.Entry, c stream.Chunk) *stream.Job {
	return r.Observe.Begin(ctx, stream.Event{Side: "restore", What: stream.WorkChunk, Object: e.Name(), Entry: e.ID,
		Part: c.N, Parts: c.Of, Planned: c.Bytes})
}

// builder numbers the n-th builder: builders come after the loaders.
func (r *run) builder(ctx context.Context, n int) context.Context {
	return stream.WithWorker(ctx, max(r.Jobs, 1)+n+1)
}
