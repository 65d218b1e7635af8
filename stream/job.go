package stream

import (
	"context"
	"io"
	"sync"
	"time"
)

// Job is a piece of work that a worker has begun. It sends what observers are told about it.
type Job struct {
	observe Observer
	event   Event
	mu      sync.Mutex
	passed  int64 // bytes
	sent    int64 // of these, told
	done    bool
	ended   bool
}

// Begin sends EventBegin, and returns what the rest is told by. Of the event Side, What, Object, Entry, Section, Part, Parts,
// Count and Planned are to be filled in; the worker is the context's.
func (o Observer) Begin(ctx context.Context, e Event) *Job {
	e.Kind, e.Began = EventBegin, time.Now()
	e.Worker, _ = ctx.Value(workerKey{}).(int)
	o.Send(e)
	return &Job{observe: o, event: e}
}

// stepBytes is how many bytes pass before observers are told: they aren't asked per row.
const stepBytes = 1 << 20

// Pass counts bytes as they pass.
func (j *Job) Pass(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.passed += int64(n)
	if j.passed-j.sent >= stepBytes && !j.ended {
		j.tell(j.passed)
	}
}

// tell brings what was told to bytes. The caller holds j.mu.
func (j *Job) tell(bytes int64) {
	if bytes != j.sent {
		j.observe.Send(Event{Kind: EventRows, Side: j.event.Side, Entry: j.event.Entry, Part: j.event.Part, Parts: j.event.Parts,
			Worker: j.event.Worker, Bytes: bytes - j.sent})
		j.sent = bytes
	}
}

// Done sends EventChunk: the chunk is finished.
func (j *Job) Done(rows, bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tell(bytes)
	j.done = true
	e := j.event
	e.Kind, e.Rows, e.Bytes, e.Took = EventChunk, rows, bytes, time.Since(e.Began)
	j.observe.Send(e)
}

// Applied sends EventEntry for one entry of those begun; of says how many share the time.
func (j *Job) Applied(e *Entry, object string, planned int64, of int) {
	count := 1
	if e.Early {
		count = 0
	}
	j.observe.Send(Event{Kind: EventEntry, Side: j.event.Side, What: WorkEntry, Object: object, Entry: e.ID, Section: e.Section,
		Worker: j.event.Worker, Planned: planned, Count: count, Began: j.event.Began, Took: time.Since(j.event.Began) / time.Duration(max(of, 1))})
}

// End sends EventEnd. What passed of a chunk that isn't done is taken back: it comes again, or it never came.
func (j *Job) End() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return
	}
	j.ended = true
	if !j.done {
		j.tell(0)
	}
	e := j.event
	e.Kind, e.Took = EventEnd, time.Since(e.Began)
	j.observe.Send(e)
}

// Writer counts what is written to w.
func (j *Job) Writer(w io.Writer) io.Writer { return &jobWriter{w, j} }

type jobWriter struct {
	io.Writer
	job *Job
}

// Write is io.Writer's.
func (w *jobWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.job.Pass(n)
	return n, err
}

type workerKey struct{}

// WithWorker gives work under the context the number of a worker, counted from 1.
func WithWorker(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, workerKey{}, n)
}

// Workers hands out the numbers 1 to n, for those who run a goroutine a job.
type Workers chan int

// NewWorkers makes n of them, one where n is less.
func NewWorkers(n int) Workers {
	w := make(Workers, max(n, 1))
	for i := range cap(w) {
		w <- i + 1
	}
	return w
}

// Take takes a number, and returns a context with it and what gives it back.
func (w Workers) Take(ctx context.Context) (context.Context, func()) {
	n := <-w
	return WithWorker(ctx, n), func() { w <- n }
}
