package restore

import "github.com/pgmove/pgmove/stream"

// resume leaves out what the target took from an earlier process of the run: entries are not applied
// again, chunks neither fetched nor loaded.
func (r *run) resume(plan []stream.Chunk) error {
	t, ok := r.target.(Resumer)
	if !ok {
		return nil
	}
	r.taken = t.Taken()
	var done []stream.Record
	for _, c := range plan {
		if d, ok := r.taken.Chunks[c.Part()]; ok {
			done = append(done, stream.Record{Chunk: c, Digest: d})
			r.chunks[c.Table]--
		}
	}
	if err := r.reader.Skip(done); err != nil {
		return err
	}
	for i := range done {
		c := &done[i]
		if e := r.byID[c.Table]; e != nil {
			r.Observe.Send(stream.Event{Kind: stream.EventChunk, Side: "restore", What: stream.WorkChunk, Object: e.Name(), Entry: e.ID,
				Part: c.N, Parts: c.Of, Planned: c.Chunk.Bytes, Rows: c.Digest.Rows, Text: stream.TakenBefore})
		}
	}
	return nil
}
