package validate

import (
	"context"
	"io"
	"sync"

	"github.com/pgmove/pgmove/stream"
)

// Loaded is a target that others still load: its tables are read one by one, each as it stands.
type Loaded interface {
	// Parts is in how many parts a table is read; 0 for one that can't be read yet.
	Parts(t *stream.Table) int
	// LoadedTo writes the rows of a part, counted from 0, in a format.
	LoadedTo(ctx context.Context, e *stream.Entry, format string, part, of int, w io.Writer) error
}

// Early reads tables back as soon as they are loaded. What it finds saves Run the reading where it is what
// was expected. What isn't, or could not be read, Run reads again: only what stands there at the end counts against a target.
type Early struct {
	target  Loaded
	observe stream.Observer

	mu     sync.Mutex
	tables map[stream.DumpID]*early
}

// early is what is known of one data entry's table.
type early struct {
	format string
	parts  int // read
	of     int
	digest stream.Digest
}

// NewEarly makes an Early.
func NewEarly(t Loaded, o stream.Observer) *Early {
	return &Early{target: t, observe: o, tables: map[stream.DumpID]*early{}}
}

// Parts is in how many parts Check wants to read a data entry's table.
func (y *Early) Parts(e *stream.Entry) int { return y.target.Parts(e.Table) }

// Check reads a part of a table whose rows are all there. Only the end of ctx is an error.
func (y *Early) Check(ctx context.Context, e *stream.Entry, format string, part, of int) error {
	job := y.observe.Begin(ctx, stream.Event{Side: "validate", What: stream.WorkChunk, Object: e.Name(), Entry: e.ID,
		Part: part, Parts: of, Planned: e.Table.Bytes / int64(of)})
	defer job.End()
	d, bytes, err := digest(format, func(w io.Writer) error { return y.target.LoadedTo(ctx, e, format, part, of, job.Writer(w)) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return nil // Run meets it again, or finds that it has passed
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	t := y.tables[e.ID]
	if t == nil {
		t = &early{format: format, of: of}
		y.tables[e.ID] = t
	}
	t.parts++
	t.digest.Add(d)
	job.Done(d.Rows, bytes)
	return nil
}

// found returns the digest of a group's tables if all were read whole, in the formats in which they are to be compared.
func (y *Early) found(g *group) (stream.Digest, bool) {
	var sum stream.Digest
	if y == nil {
		return sum, false
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, tc := range g.tables {
		t := y.tables[tc.ID]
		if t == nil || t.parts != t.of || t.format != tc.Format {
			return sum, false
		}
		sum.Add(t.digest)
	}
	return sum, true
}
