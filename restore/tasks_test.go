package restore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// house builds entries: tables 1 and 2, partitioned table 3 with partitions 4 and 5, data entries
// 11, 12, 14, 15.
func house() []stream.Entry {
	table := func(id stream.DumpID, name stream.Text) stream.Entry {
		return stream.Entry{ID: id, Section: stream.PreData, Desc: "TABLE", Tag: name}
	}
	data := func(id, table stream.DumpID, bytes int64) stream.Entry {
		return stream.Entry{ID: id, Section: stream.Data, Desc: "TABLE DATA", Dependencies: []stream.DumpID{table}, Table: &stream.Table{Bytes: bytes}}
	}
	return []stream.Entry{table(1, "small"), table(2, "large"), table(3, "root"), table(4, "p1"), table(5, "p2"),
		{ID: 6, Section: stream.PreData, Desc: "TABLE ATTACH", Tag: "p1", Dependencies: []stream.DumpID{3, 4}},
		{ID: 7, Section: stream.PreData, Desc: "TABLE ATTACH", Tag: "p2", Dependencies: []stream.DumpID{5, 3}},
		data(11, 1, 1<<20), data(12, 2, 1<<30), data(14, 4, 1<<30), data(15, 5, 1<<30)}
}

func index(id, table stream.DumpID) *task {
	return &task{entry: &stream.Entry{ID: id, Section: stream.PostData, Desc: "INDEX", Share: true,
		Dependencies: []stream.DumpID{table}, Locks: []stream.DumpID{table}}}
}

func constraint(id stream.DumpID, deps ...stream.DumpID) *task {
	return &task{entry: &stream.Entry{ID: id, Section: stream.PostData, Desc: "FK CONSTRAINT", Dependencies: deps, Locks: deps}}
}

func ids(batch []*task) []stream.DumpID {
	var out []stream.DumpID
	for _, t := range batch {
		out = append(out, t.entry.ID)
	}
	return out
}

// took waits a moment for what the scheduler hands out.
func took(t *testing.T, s *scheduler) []*task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	batch, err := s.take(ctx, applies)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return batch
}

func TestTasksWaitForTheirRows(t *testing.T) {
	s := newScheduler(newFamily(house()), []*task{index(101, 1), index(102, 2), index(103, 3)})
	if b := took(t, s); b != nil {
		t.Fatalf("%v before any rows are in", ids(b))
	}
	s.loaded(14)
	if b := took(t, s); b != nil {
		t.Fatalf("%v while a partition is not in", ids(b))
	}
	s.loaded(15)
	b := took(t, s)
	if !slices.Equal(ids(b), []stream.DumpID{103}) {
		t.Fatalf("%v, want the root's index once its partitions are in", ids(b))
	}
	s.finish(b)
	s.loaded(11)
	s.loaded(12)
	if b = took(t, s); !slices.Equal(ids(b), []stream.DumpID{102}) {
		t.Fatalf("%v, want the larger table's index first", ids(b))
	}
	s.finish(b)
	s.finish(took(t, s))
	if b = took(t, s); b != nil {
		t.Errorf("%v after all are done", ids(b))
	}
}

func TestLocksNeverConflict(t *testing.T) {
	f := newFamily(house())
	var tasks []*task
	for i := range stream.DumpID(20) {
		tasks = append(tasks, index(100+i, 1+i%2), constraint(200+i, 1, 2), constraint(300+i, 1+i%2))
	}
	for _, e := range f.analyzed() {
		tasks = append(tasks, &task{entry: e, kind: analyzes})
	}
	s := newScheduler(f, tasks)
	for _, d := range []stream.DumpID{11, 12, 14, 15} {
		s.loaded(d)
	}
	var mu sync.Mutex
	shared, alone := map[stream.DumpID]int{}, map[stream.DumpID]int{}
	done := 0
	g, ctx := errgroup.WithContext(t.Context())
	for range 4 {
		g.Go(func() error {
			for {
				batch, err := s.take(ctx, applies)
				if err != nil || len(batch) == 0 {
					return err
				}
				mine := map[stream.DumpID]bool{} // locks of the batch: true where one of it wants the table alone
				for _, k := range batch {
					for _, id := range k.locks() {
						mine[id] = mine[id] || !k.shared()
					}
				}
				mu.Lock()
				for id, only := range mine {
					if alone[id] > 0 || only && shared[id] > 0 {
						t.Errorf("table %d is worked on by two", id)
					}
					if only {
						alone[id]++
					} else {
						shared[id]++
					}
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				for id, only := range mine {
					if only {
						alone[id]--
					} else {
						shared[id]--
					}
				}
				done += len(batch)
				mu.Unlock()
				s.finish(batch)
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if done != len(tasks) {
		t.Errorf("%d tasks of %d were done", done, len(tasks))
	}
}

func TestCircleIsAnError(t *testing.T) {
	a, b := constraint(1, 2), constraint(2, 1)
	a.entry.Locks, b.entry.Locks = nil, nil
	s := newScheduler(newFamily(nil), []*task{a, b})
	if _, err := s.take(t.Context(), applies); stream.KindOf(err) != stream.Integrity {
		t.Errorf("a circle of dependencies: %v", err)
	}
}

func TestAnalyzeTakesRootsForTheirPartitions(t *testing.T) {
	var names []stream.Text
	for _, e := range newFamily(house()).analyzed() {
		names = append(names, e.Tag)
	}
	if !slices.Equal(names, []stream.Text{"small", "large", "root"}) {
		t.Errorf("%v", names)
	}
}
