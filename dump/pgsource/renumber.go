package pgsource

import (
	"slices"

	"github.com/pgmove/pgmove/stream/pgtoc"
)

// renumber gives a table of contents the IDs 1, 2, 3… in its own order, and sorted dependencies. pg_dump also numbers what it
// doesn't print, such as the schemas of other sessions' temporary tables: by its own numbers two dumps of one schema would
// differ, and a run could not resume. Dependencies on what isn't printed, which pg_restore ignores, go.
func renumber(toc *pgtoc.TOC) {
	ids := make(map[int32]int32, len(toc.Entries))
	for i := range toc.Entries {
		ids[toc.Entries[i].ID] = int32(i + 1)
	}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		e.ID = ids[e.ID]
		var deps []int32
		for _, d := range e.Deps {
			if id, ok := ids[d]; ok {
				deps = append(deps, id)
			}
		}
		slices.Sort(deps)
		e.Deps = slices.Compact(deps)
	}
}
