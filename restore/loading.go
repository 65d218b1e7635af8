package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// load loads all chunks and applies post-data as tables become complete.
func (r *run) load(ctx context.Context) error {
	s := newScheduler(r.family, r.postData())
	for i := range r.entries {
		e := &r.entries[i]
		if e.Table == nil || r.chunks[e.ID] > 0 {
			continue
		}
		if !r.selection.Wants(e) {
			s.loaded(e.ID) // what is not moved is not waited for
			continue
		}
		if _, planned := r.chunks[e.ID]; !planned {
			return stream.Fail(stream.Integrity, "the plan has no chunk of %s", e.Name())
		}
		s.loaded(e.ID) // all of it before
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.inOrder(ctx, r.pick(stream.Sequences, stream.MainPass)) })
	l := &loading{run: r, sched: s, left: maps.Clone(r.chunks), change: make(chan struct{})}
	for _, n := range r.chunks {
		l.fresh += n
	}
	for n := range max(r.Jobs, 1) {
		g.Go(func() error {
			ctx := stream.WithWorker(ctx, n+1)
			if err := l.work(ctx); err != nil {
				return err
			}
			return r.build(ctx, s, checks) // with nothing left to load; indexes are the builders'
		})
	}
	for n := range max(r.Jobs, 1) {
		g.Go(func() error { return r.build(r.builder(ctx, n), s, applies) })
	}
	return g.Wait()
}

// loading is the state that loaders share.
type loading struct {
	run   *run
	sched *scheduler

	mu     sync.Mutex
	left   map[stream.DumpID]int // chunks still to load, by data entry
	fresh  int                   // chunks not yet tried once to their end
	busy   int                   // chunks being tried now
	loaded int                   // chunks loaded
	tried  map[string]int        // by chunk key: what loaded was when its last try began
	change chan struct{}
	// outages counts, by chunk key, how often one stopped it.
	outages map[string]int
}

func (l *loading) work(ctx context.Context) error {
	for {
		c, err := l.run.reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		loaded, err := l.begin(ctx, c)
		if err != nil {
			return err
		}
		err = l.one(ctx, c, loaded)
		l.end()
		if err != nil {
			return err
		}
	}
}

// promising says whether something was loaded since the chunk's last try; for "" whether that is so
// of any chunk. The caller holds l.mu.
func (l *loading) promising(key string) bool {
	if key != "" {
		return l.tried[key] < l.loaded
	}
	for _, at := range l.tried {
		if at < l.loaded {
			return true
		}
	}
	return false
}

// begin counts a chunk as being tried. One that failed before waits until all others were tried, and
// then until one was loaded since, or none is left that may be. It returns how many are loaded.
func (l *loading) begin(ctx context.Context, c stream.Chunk) (int, error) {
	for {
		l.mu.Lock()
		_, again := l.tried[c.Key]
		ready := !again || l.fresh == 0 && (l.promising(c.Key) || l.busy == 0 && !l.promising(""))
		if ready {
			l.busy++
		}
		change, loaded := l.change, l.loaded
		l.mu.Unlock()
		if ready {
			return loaded, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func (l *loading) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	l.signal()
}

// signal wakes all who wait for their turn. The caller holds l.mu.
func (l *loading) signal() {
	close(l.change)
	l.change = make(chan struct{})
}

// one loads a chunk; loaded is how many were when it began.
func (l *loading) one(ctx context.Context, c stream.Chunk, loaded int) error {
	r := l.run
	e := r.byID[c.Table]
	if e == nil {
		return stream.Fail(stream.Integrity, "the plan has a chunk of entry %d, which is not among the entries", c.Table)
	}
	job := r.beginChunk(ctx, e, c)
	defer job.End()
	rows, err := r.reader.OpenChunk(ctx, c)
	if err != nil {
		job.End() // the wait for another try is no work
		if l.outlast(ctx, e, c, err) {
			r.reader.GiveBack(c)
			return nil
		}
		return err
	}
	var rec *stream.Record
	err = r.target.CopyFrom(ctx, e, c, verified{rows, &rec, job})
	if err != nil {
		job.End()
		// Its writer offers it again, or this side has waited for it.
		if errors.Is(err, stream.ErrAgain) && ctx.Err() == nil || l.outlast(ctx, e, c, err) {
			rows.GiveBack(err, true)
			return nil
		}
		if stream.KindOf(err) == stream.Failed && ctx.Err() == nil {
			if damage := rows.Damage(); damage != nil {
				err = damage
			}
		}
		var lt later
		again := errors.As(err, &lt) && lt.Later() && l.mayRetry(c, loaded)
		rows.GiveBack(err, again)
		if again {
			return nil
		}
		return err
	}
	if err := rows.Close(); err != nil {
		return err
	}
	job.Done(rec.Digest.Rows, rec.RawBytes)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded++
	l.tryDone(c)
	delete(l.tried, c.Key)
	if l.left[c.Table]--; l.left[c.Table] == 0 {
		l.sched.loaded(c.Table)
	}
	return nil
}

// outlast says whether a chunk that an outage stopped is to be tried again, and has waited by then. For who waits for
// others to be loaded that was no try.
func (l *loading) outlast(ctx context.Context, e *stream.Entry, c stream.Chunk, err error) bool {
	if ctx.Err() != nil || !stream.Passing(err) {
		return false
	}
	l.mu.Lock()
	if l.outages == nil {
		l.outages = map[string]int{}
	}
	l.outages[c.Key]++
	failed := l.outages[c.Key]
	l.mu.Unlock()
	if !l.run.Retry.May(failed, err) {
		return false
	}
	l.run.Observe.Retry("restore", e.Name(), fmt.Sprintf("chunk %d of %d of %s is loaded again: %s", c.N+1, c.Of, e.Name(), err))
	return l.run.Retry.Again(ctx, failed, err)
}

// mayRetry notes a failed try, and says whether another one makes sense: not when every chunk
// that is left has been tried in vain since the last one was loaded.
func (l *loading) mayRetry(c stream.Chunk, loaded int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, again := l.tried[c.Key]
	l.tryDone(c)
	if l.tried == nil {
		l.tried = map[string]int{}
	}
	l.tried[c.Key] = loaded
	return !again || l.fresh > 0 || l.busy > 1 || l.promising("")
}

// tryDone counts a chunk's first try. The caller holds l.mu.
func (l *loading) tryDone(c stream.Chunk) {
	if _, again := l.tried[c.Key]; !again {
		l.fresh--
	}
	l.signal()
}

// verified keeps the record that Verify returns, and counts what is read.
type verified struct {
	*stream.ChunkReader
	rec **stream.Record
	job *stream.Job
}

func (v verified) Read(p []byte) (int, error) {
	n, err := v.ChunkReader.Read(p)
	v.job.Pass(n)
	return n, err
}

func (v verified) Verify(taken int64) (*stream.Record, error) {
	rec, err := v.ChunkReader.Verify(taken)
	*v.rec = rec
	return rec, err
}
