package restore

import (
	"cmp"
	"container/heap"
	"context"
	"sync"

	"github.com/pgmove/pgmove/stream"
)

// kind is what a task does. Tasks that are ready are handed out in this order.
type kind uint8

const (
	applies  kind = iota // an entry, or one stage of it
	checks               // reads a table back, or a part of it
	analyzes             // gathers a table's statistics
	kinds
)

// task is one post-data entry to apply, or one table to read back or to analyze.
type task struct {
	kind  kind
	entry *stream.Entry // for checks the data entry
	after *task         // the entry's earlier stage
	part  int           // for checks, of parts
	parts int

	bytes  int64 // of the tables it works on
	waits  int   // what it still waits for
	blocks []*task
	index  int
}

// small is the size of tables, in bytes, below which entries share a
// transaction: their cost is round trips.
const small = 8 << 20

// smallBatch is how many such entries do.
const smallBatch = 50

// scheduler hands out tasks once what they depend on is done, large ones first,
// and never two at a time that would wait for each other's locks.
type scheduler struct {
	mu      sync.Mutex
	change  chan struct{}
	ready   [kinds]taskHeap
	left    int
	running int
	onData  map[stream.DumpID][]*task // by data entry: tasks that wait for it
	held    map[stream.DumpID]int     // by table: -1 exclusively, n > 0 shared by n
}

func newScheduler(f *family, tasks []*task) *scheduler {
	s := &scheduler{change: make(chan struct{}), left: len(tasks),
		onData: map[stream.DumpID][]*task{}, held: map[stream.DumpID]int{}}
	byEntry := make(map[stream.DumpID]*task, len(tasks))
	users := map[stream.DumpID][]*task{} // by table: the tasks that depend on it
	for i, t := range tasks {
		t.index = i
		if t.kind != applies {
			continue
		}
		byEntry[t.entry.ID] = t // of an entry's stages the last
		for _, d := range t.entry.Dependencies {
			users[d] = append(users[d], t)
		}
	}
	for _, t := range tasks {
		seen := map[stream.DumpID]bool{}
		waitData := func(table stream.DumpID) {
			for _, d := range f.dataOf(table) {
				if !seen[d] {
					seen[d] = true
					t.waits++
					s.onData[d] = append(s.onData[d], t)
				}
			}
			t.bytes = max(t.bytes, f.sizeOf(table))
		}
		switch t.kind {
		case checks:
			t.bytes = t.entry.Table.Bytes / int64(t.parts)
			for _, d := range f.group(t.entry) {
				t.waits++
				s.onData[d] = append(s.onData[d], t)
			}
			continue
		case analyzes:
			waitData(t.entry.ID)
			for _, id := range f.tree(t.entry.ID) {
				for _, u := range users[id] {
					u.blocks = append(u.blocks, t)
					t.waits++
				}
			}
			continue
		}
		if t.after != nil {
			t.after.blocks = append(t.after.blocks, t)
			t.waits++
		}
		for _, d := range t.entry.Dependencies {
			if other, ok := byEntry[d]; ok && other != t {
				other.blocks = append(other.blocks, t)
				t.waits++
				continue
			}
			waitData(d)
		}
	}
	for _, t := range tasks {
		if t.waits == 0 {
			heap.Push(&s.ready[t.kind], t)
		}
	}
	return s
}

// sizeOf is bytes, for a nil family too.
func (f *family) sizeOf(table stream.DumpID) int64 {
	if f == nil {
		return 0
	}
	return f.bytes(table)
}

// tree returns a table and all below it.
func (f *family) tree(table stream.DumpID) []stream.DumpID {
	out := []stream.DumpID{table}
	seen := map[stream.DumpID]bool{table: true}
	for i := 0; i < len(out); i++ {
		for _, k := range f.kids[out[i]] {
			if !seen[k] {
				seen[k] = true
				out = append(out, k)
			}
		}
	}
	return out
}

// loaded notes that a data entry's last chunk is in.
func (s *scheduler) loaded(data stream.DumpID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.onData[data] {
		s.release(t)
	}
	delete(s.onData, data)
	s.signal()
}

func (s *scheduler) release(t *task) {
	if t.waits--; t.waits == 0 {
		heap.Push(&s.ready[t.kind], t)
	}
}

func (s *scheduler) signal() {
	close(s.change)
	s.change = make(chan struct{})
}

// take returns tasks of one kind, the least that is ready but not below from, to do together; none when all are done.
func (s *scheduler) take(ctx context.Context, from kind) ([]*task, error) {
	for {
		s.mu.Lock()
		var batch []*task
		for k := from; k < kinds && len(batch) == 0; k++ {
			batch = s.claim(&s.ready[k])
		}
		s.running += len(batch)
		left, change := s.left, s.change
		stuck := s.running == 0 && len(s.onData) == 0
		for k := range from {
			stuck = stuck && s.ready[k].Len() == 0 // another worker takes those
		}
		s.mu.Unlock()
		if len(batch) > 0 || left == 0 {
			return batch, nil
		}
		if stuck {
			return nil, stream.Fail(stream.Integrity, "the dependencies of %d entries go in a circle", left)
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// claim takes the first ready task whose locks are free, and more if they are small.
func (s *scheduler) claim(ready *taskHeap) []*task {
	var batch, passed []*task
	// Tasks of one batch run one after the other: among themselves they conflict never.
	own := map[stream.DumpID]bool{}
	for ready.Len() > 0 && len(batch) < smallBatch {
		t := heap.Pop(ready).(*task)
		fits := len(batch) == 0 || t.bytes < small && batch[0].bytes < small
		if !fits || !s.lock(t, own) {
			passed = append(passed, t)
			if len(passed) > 4*smallBatch {
				break
			}
			continue
		}
		batch = append(batch, t)
	}
	for _, t := range passed {
		heap.Push(ready, t)
	}
	return batch
}

// shared reports whether a task suffers others like it on its tables.
func (t *task) shared() bool { return t.kind == checks || t.kind == applies && t.entry.Share }

func (t *task) locks() []stream.DumpID {
	switch t.kind {
	case checks:
		return t.entry.Dependencies[:min(len(t.entry.Dependencies), 1)] // its table
	case analyzes:
		return []stream.DumpID{t.entry.ID}
	}
	return t.entry.Locks
}

// lock takes the task's locks if all of them are free, or held by the batch itself.
func (s *scheduler) lock(t *task, own map[stream.DumpID]bool) bool {
	for _, id := range t.locks() {
		h := s.held[id]
		if h == 0 || (h > 0 && t.shared()) || (own[id] && h == -1) {
			continue
		}
		return false
	}
	for _, id := range t.locks() {
		switch {
		case own[id] && s.held[id] == -1:
		case t.shared():
			s.held[id]++
		default:
			s.held[id] = -1
			own[id] = true
		}
	}
	return true
}

// finish notes that tasks are done, frees their locks and what waited for them.
func (s *scheduler) finish(batch []*task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range batch {
		for _, id := range t.locks() {
			if s.held[id] > 0 {
				s.held[id]--
			} else {
				s.held[id] = 0
			}
		}
		for _, b := range t.blocks {
			s.release(b)
		}
		s.left--
		s.running--
	}
	s.signal()
}

// taskHeap orders ready tasks: the largest tables first, then as in the archive.
type taskHeap []*task

func (h taskHeap) Len() int { return len(h) }
func (h taskHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if c := cmp.Compare(b.bytes, a.bytes); c != 0 {
		return c < 0
	}
	return a.index < b.index
}
func (h taskHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *taskHeap) Push(x any) { *h = append(*h, x.(*task)) }

// Pop is heap.Interface's.
func (h *taskHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]
	return t
}
