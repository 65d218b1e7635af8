package restore

import (
	"cmp"
	"container/heap"
	"context"
	"sync"

	"github.com/pgmove/pgmove/stream"
)

// task is one post-data entry to apply, or one table to analyze.
type task struct {
	entry   *stream.Entry
	analyze bool

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
	ready   taskHeap
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
		if t.analyze {
			continue
		}
		byEntry[t.entry.ID] = t
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
		if t.analyze {
			waitData(t.entry.ID)
			for _, id := range f.tree(t.entry.ID) {
				for _, u := range users[id] {
					u.blocks = append(u.blocks, t)
					t.waits++
				}
			}
			continue
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
			heap.Push(&s.ready, t)
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
		heap.Push(&s.ready, t)
	}
}

func (s *scheduler) signal() {
	close(s.change)
	s.change = make(chan struct{})
}

// take returns tasks to do together, none when all are done.
func (s *scheduler) take(ctx context.Context) ([]*task, error) {
	for {
		s.mu.Lock()
		batch := s.claim()
		s.running += len(batch)
		left, change := s.left, s.change
		stuck := s.running == 0 && len(s.onData) == 0
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

// claim takes the first ready task whose locks are free, and more of its kind if they are small.
func (s *scheduler) claim() []*task {
	var batch, passed []*task
	// Tasks of one batch run one after the other: among themselves they conflict never.
	own := map[stream.DumpID]bool{}
	for s.ready.Len() > 0 && len(batch) < smallBatch {
		t := heap.Pop(&s.ready).(*task)
		fits := len(batch) == 0 || (t.bytes < small && batch[0].bytes < small && t.analyze == batch[0].analyze)
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
		heap.Push(&s.ready, t)
	}
	return batch
}

// shared reports whether a task suffers others like it on its tables.
func (t *task) shared() bool { return t.entry.Share && !t.analyze }

func (t *task) locks() []stream.DumpID {
	if t.analyze {
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

// taskHeap orders ready tasks: entries before ANALYZE, the largest tables first, then
// as in the archive.
type taskHeap []*task

func (h taskHeap) Len() int { return len(h) }
func (h taskHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.analyze != b.analyze {
		return b.analyze
	}
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
