package floor

import (
	"container/heap"
	"context"
	"fmt"
	"strings"
	"sync"
)

// smallTable is the size up to which tables go several to a transaction, their indexes with them.
const (
	smallTable  = 2 << 20
	smallBytes  = 8 << 20
	smallTables = 50
)

// task is one session's work, to be begun when all that it waits for is done.
type task struct {
	cost  int64 // a guess in bytes; the largest goes first
	waits int
	after []*task
	run   func(*pair) error
}

// graph hands out tasks.
type graph struct {
	mu    sync.Mutex
	cond  *sync.Cond
	ready queue
	left  int
	end   bool
}

// queue is a heap of tasks, the costliest first.
type queue []*task

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].cost > q[j].cost }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*task)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	*q = (*q)[:last]
	return t
}

// work does tasks until none is left.
func (g *graph) work(ctx context.Context, c *pair) error {
	defer context.AfterFunc(ctx, g.stop)()
	for {
		t := g.next()
		if t == nil {
			return ctx.Err()
		}
		if err := t.run(c); err != nil {
			g.stop()
			return err
		}
		g.done(t)
	}
}

func (g *graph) next() *task {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.end && g.left > 0 && len(g.ready) == 0 {
		g.cond.Wait()
	}
	if g.end || g.left == 0 {
		return nil
	}
	return heap.Pop(&g.ready).(*task)
}

func (g *graph) done(t *task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left--
	for _, n := range t.after {
		if n.waits--; n.waits == 0 {
			heap.Push(&g.ready, n)
		}
	}
	g.cond.Broadcast()
}

func (g *graph) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end = true
	g.cond.Broadcast()
}

// newGraph lays out the work: rows, then the table's indexes side by side, then what
// needs several tables.
func newGraph(p *Plan, o Options) *graph {
	g := &graph{}
	g.cond = sync.NewCond(&g.mu)
	var all []*task
	add := func(cost int64, run func(*pair) error, before ...*task) *task {
		t := &task{cost: cost, run: run}
		for _, b := range before {
			if b != nil {
				t.waits++
				b.after = append(b.after, t)
			}
		}
		all = append(all, t)
		return t
	}
	finished := map[string]*task{} // rows and indexes are there
	sizes := map[string]int64{}
	var ends []*task
	var small []*Table
	var bytes int64
	group := func() {
		if len(small) == 0 {
			return
		}
		tables := small
		t := add(bytes+int64(len(tables))<<16, func(c *pair) error { return c.loadSmall(tables) })
		for _, x := range tables {
			finished[x.Name] = t
		}
		ends = append(ends, t)
		small, bytes = nil, 0
	}
	for i, t := range p.Tables {
		sizes[t.Name] = t.Bytes
		if t.Bytes <= smallTable {
			small, bytes = append(small, t), bytes+t.Bytes
			if bytes >= smallBytes || len(small) == smallTables {
				group()
			}
			continue
		}
		finished[t.Name] = addTable(add, t, o.Split && i == 0)
		ends = append(ends, finished[t.Name])
	}
	group()
	if len(p.Sequences) > 0 {
		ends = append(ends, add(0, sql(p.Sequences...)))
	}
	ends = append(ends, addParents(add, p, finished)...)
	for _, k := range p.Keys {
		add(sizes[k.Table]/5, sql(k.SQL), finished[k.Table], finished[k.Refers])
	}
	for _, v := range p.Views {
		add(0, sql(append([]string{v.SQL}, v.Indexes...)...), ends...)
	}
	g.left = len(all)
	for _, t := range all {
		if t.waits == 0 {
			heap.Push(&g.ready, t)
		}
	}
	return g
}

// addTable lays out a table that is not small, and returns its last task.
func addTable(add func(int64, func(*pair) error, ...*task) *task, t *Table, split bool) *task {
	var loads []*task
	if split {
		half := t.Pages / 2
		for _, where := range []string{fmt.Sprintf("ctid < '(%d,0)'", half), fmt.Sprintf("ctid >= '(%d,0)'", half)} {
			loads = append(loads, add(t.Bytes, func(c *pair) error { return c.copy(t.Name, where, "") }))
		}
	} else {
		loads = append(loads, add(t.Bytes, func(c *pair) error { return c.load(t) }))
	}
	var last []string
	built := loads
	for i, ix := range t.Indexes {
		if i == 0 {
			built = nil
		}
		cost := t.Bytes / 4
		if ix.Heavy {
			cost = t.Bytes
		}
		built = append(built, add(cost, sql(ix.Build), loads...))
		if ix.Attach != "" {
			last = append(last, ix.Attach)
		}
	}
	// Indexes of expressions have statistics of their own, so ANALYZE comes after them,
	// and for partitions when the whole table is there.
	if t.Parent == "" {
		last = append(last, "ANALYZE "+t.Name+";")
	}
	return add(t.Bytes/8, sql(last...), built...)
}

// addParents lays out the partitioned tables: shells of indexes first, then what
// attaches to them.
func addParents(add func(int64, func(*pair) error, ...*task) *task, p *Plan, finished map[string]*task) []*task {
	var before, after, analyze []string
	var needs []*task
	seen := map[*task]bool{}
	for _, x := range p.Parents {
		before = append(before, x.Before...)
		after = append(after, x.After...)
		analyze = append(analyze, "ANALYZE "+x.Name+";")
	}
	if len(p.Parents) == 0 {
		return nil
	}
	for _, t := range p.Tables {
		if f := finished[t.Name]; t.Parent != "" && !seen[f] {
			seen[f] = true
			needs = append(needs, f)
		}
	}
	return []*task{add(1<<30, sql(strings.Join(append(append(before, after...), analyze...), "\n")), needs...)}
}

// sql is a task's work where that is statements alone.
func sql(statements ...string) func(*pair) error {
	text := strings.Join(statements, "\n")
	return func(c *pair) error {
		if text == "" {
			return nil
		}
		if err := c.target.exec(text); err != nil {
			return fmt.Errorf("%.200s: %w", strings.TrimSpace(text), err)
		}
		return nil
	}
}
