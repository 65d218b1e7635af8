package restore

import (
	"slices"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// TestLargestFirst: the largest tables' entries come first, alone; small ones share a batch; ANALYZE
// comes after entries.
func TestLargestFirst(t *testing.T) {
	var entries []stream.Entry
	for i, bytes := range []int64{1, 900 << 20, 50 << 20} {
		id := stream.DumpID(i + 1)
		entries = append(entries, stream.Entry{ID: id, Desc: "TABLE"},
			stream.Entry{ID: id + 100, Section: stream.Data, Dependencies: []stream.DumpID{id}, Table: &stream.Table{Bytes: bytes}})
	}
	var tasks []*task
	for id, table := range map[stream.DumpID]stream.DumpID{201: 1, 202: 2, 203: 3, 204: 1} {
		tasks = append(tasks, &task{entry: &stream.Entry{ID: id, Section: stream.PostData, Share: true, Dependencies: []stream.DumpID{table}}})
	}
	tasks = append(tasks, &task{entry: &entries[0], kind: analyzes}, &task{entry: &entries[4], kind: analyzes})
	s := newScheduler(newFamily(entries), tasks)
	for id := stream.DumpID(101); id <= 103; id++ {
		s.loaded(id)
	}
	for _, want := range [][]stream.DumpID{{202}, {203}, {201, 204}, {3}, {1}} {
		batch, err := s.take(t.Context(), applies)
		if err != nil {
			t.Fatal(err)
		}
		var got []stream.DumpID
		for _, x := range batch {
			got = append(got, x.entry.ID)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Fatalf("%v instead of %v", got, want)
		}
		s.finish(batch)
	}
}

// TestHeirsInACircle: a hostile archive's tables that inherit from each other end no search.
func TestHeirsInACircle(t *testing.T) {
	f := newFamily([]stream.Entry{{ID: 1, Desc: "TABLE", Dependencies: []stream.DumpID{2}}, {ID: 2, Desc: "TABLE", Dependencies: []stream.DumpID{1}},
		{ID: 101, Dependencies: []stream.DumpID{1}, Table: &stream.Table{}}})
	if got := f.dataOf(2); !slices.Equal(got, []stream.DumpID{101}) {
		t.Errorf("table 2 waits for %v", got)
	}
	if got := f.tree(1); len(got) != 2 {
		t.Errorf("the tree of table 1 is %v", got)
	}
}
