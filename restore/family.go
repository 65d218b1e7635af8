package restore

import (
	"slices"

	"github.com/pgmove/pgmove/stream"
)

// family knows which data entries must be complete before a table counts as loaded: its
// own, those of its partitions and heirs, and, for a partition that is loaded
// through its root, those of all its siblings, whose rows may be routed to it.
type family struct {
	byID  map[stream.DumpID]*stream.Entry
	data  map[stream.DumpID][]stream.DumpID // by table: its data entries
	kids  map[stream.DumpID][]stream.DumpID // by table: partitions and heirs
	part  map[stream.DumpID]bool            // tables that are partitions
	order []*stream.Entry                   // tables, in archive order
	memo  map[stream.DumpID][]stream.DumpID
}

func newFamily(entries []stream.Entry) *family {
	f := &family{byID: map[stream.DumpID]*stream.Entry{}, data: map[stream.DumpID][]stream.DumpID{},
		kids: map[stream.DumpID][]stream.DumpID{}, part: map[stream.DumpID]bool{}, memo: map[stream.DumpID][]stream.DumpID{}}
	tables := map[stream.DumpID]bool{}
	for i := range entries {
		e := &entries[i]
		f.byID[e.ID] = e
		if e.Desc == "TABLE" || e.Desc == "FOREIGN TABLE" {
			tables[e.ID] = true
			f.order = append(f.order, e)
		}
	}
	routed := map[stream.DumpID][]*stream.Entry{}
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Table != nil:
			if e.Table.Root != 0 {
				routed[e.Table.Root] = append(routed[e.Table.Root], e)
			}
			for _, d := range e.Dependencies {
				f.data[d] = append(f.data[d], e.ID)
			}
		case tables[e.ID]:
			for _, d := range e.Dependencies {
				if tables[d] {
					f.kids[d] = append(f.kids[d], e.ID)
				}
			}
		case e.Desc == "TABLE ATTACH":
			f.attach(e, tables)
		}
	}
	for _, group := range routed {
		for _, e := range group {
			for _, d := range e.Dependencies {
				for _, other := range group {
					if other != e {
						f.data[d] = append(f.data[d], other.ID)
					}
				}
			}
		}
	}
	return f
}

// attach reads TABLE ATTACH: it depends on the parent and on the partition, which has its name.
func (f *family) attach(e *stream.Entry, tables map[stream.DumpID]bool) {
	var parent, kid stream.DumpID
	for _, d := range e.Dependencies {
		if !tables[d] {
			continue
		}
		if t := f.byID[d]; t.Tag == e.Tag && t.Namespace == e.Namespace {
			kid = d
		} else {
			parent = d
		}
	}
	if parent != 0 && kid != 0 {
		f.kids[parent] = append(f.kids[parent], kid)
		f.part[kid] = true
	}
}

// dataOf returns the data entries that must be loaded before table is complete.
func (f *family) dataOf(table stream.DumpID) []stream.DumpID {
	if f == nil {
		return nil
	}
	if ids, ok := f.memo[table]; ok {
		return ids
	}
	f.memo[table] = nil // ends a cycle of hostile dependencies
	ids := slices.Clone(f.data[table])
	for _, k := range f.kids[table] {
		ids = append(ids, f.dataOf(k)...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	f.memo[table] = ids
	return ids
}

// group returns a data entry and all whose rows may be routed to the same tables.
func (f *family) group(e *stream.Entry) []stream.DumpID {
	ids := []stream.DumpID{e.ID}
	if e.Table.Root != 0 && len(e.Dependencies) > 0 {
		for _, d := range f.data[e.Dependencies[0]] {
			if d != e.ID {
				ids = append(ids, d)
			}
		}
	}
	return ids
}

// bytes is the size of a table with its partitions and heirs.
func (f *family) bytes(table stream.DumpID) int64 {
	var n int64
	for _, id := range f.dataOf(table) {
		n += f.byID[id].Table.Bytes
	}
	return n
}

// analyzed lists the tables to analyze: those with rows, and the roots of
// partitioned tables in place of their partitions, which ANALYZE of the root
// includes.
func (f *family) analyzed() []*stream.Entry {
	var out []*stream.Entry
	for _, t := range f.order {
		if t.Desc == "TABLE" && !f.part[t.ID] && len(f.dataOf(t.ID)) > 0 {
			out = append(out, t)
		}
	}
	return out
}
