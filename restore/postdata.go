package restore

import (
	"context"

	"github.com/pgmove/pgmove/stream"
)

// Stager is the ability of a Target to apply an entry in two transactions, so that the long one
// lets more go on beside it than the whole entry would.
type Stager interface {
	// Stages returns the entry's two stages, of which the first is marked Early, or nothing where it is applied as a whole.
	Stages(e *stream.Entry) []*stream.Entry
}

// Checker reads a table back once all its rows are in. A Checker that could not read it says so
// when it is asked for what it found, and not here.
type Checker interface {
	// Parts is in how many parts a data entry's table is to be read, side by side; 0 to leave it out.
	Parts(e *stream.Entry) int
	// Check reads a part, counted from 0, in the format that its rows came in. An error ends the restore.
	Check(ctx context.Context, e *stream.Entry, format string, part, of int) error
}

// postData returns the work after the rows: post-data entries, tables to read back and to analyze.
func (r *run) postData() []*task {
	var tasks []*task
	stager, _ := r.target.(Stager)
	for _, e := range r.pick(stream.PostData, stream.MainPass) {
		tasks = append(tasks, r.stages(stager, e)...)
	}
	for i := range r.entries {
		e := &r.entries[i]
		if e.Table == nil || r.Check == nil || !r.selection.Wants(e) {
			continue
		}
		n := r.Check.Parts(e)
		for part := range n {
			tasks = append(tasks, &task{kind: checks, entry: e, part: part, parts: n})
		}
	}
	if r.NoAnalyze || !r.selection.Has(stream.Data) {
		return tasks
	}
	for _, t := range r.family.analyzed() {
		tasks = append(tasks, &task{kind: analyzes, entry: t})
	}
	return tasks
}

// stages returns the tasks of an entry: two where that is worth a transaction of its own.
func (r *run) stages(stager Stager, e *stream.Entry) []*task {
	if stager != nil && r.taken.Early[e.ID] {
		if two := stager.Stages(e); len(two) == 2 {
			return []*task{{entry: two[1]}}
		}
	}
	if stager != nil {
		var bytes int64
		for _, d := range e.Locks {
			bytes = max(bytes, r.family.bytes(d))
		}
		from := int64(small)
		if r.StageFrom > 0 {
			from = r.StageFrom
		}
		if bytes >= from {
			if two := stager.Stages(e); len(two) == 2 {
				first := &task{entry: two[0]}
				return []*task{first, {entry: two[1], after: first}}
			}
		}
	}
	return []*task{{entry: e}}
}

// do does what a batch of tasks of one kind asks for.
func (r *run) do(ctx context.Context, batch []*task) error {
	list := make([]*stream.Entry, len(batch))
	for i, t := range batch {
		list[i] = t.entry
	}
	switch batch[0].kind {
	case checks:
		for _, t := range batch {
			if err := r.Check.Check(ctx, t.entry, r.formats[t.entry.ID], t.part, t.parts); err != nil {
				return err
			}
		}
		return nil
	case analyzes:
		return r.analyze(ctx, list)
	}
	if batch[0].after != nil && r.half(list[0]) {
		return nil // it failed already
	}
	return r.exec(ctx, list)
}

// half reports whether an entry's first stage failed.
func (r *run) half(e *stream.Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.halves[e.ID]
}
