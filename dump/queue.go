package dump

import (
	"context"
	"slices"
	"sync"

	"github.com/pgmove/pgmove/stream"
)

// queue hands out chunks until all are done; one given back comes again, last, or, where an outage stopped it, next.
type queue struct {
	mu     sync.Mutex
	chunks []stream.Chunk
	left   int
	// failures are by chunk key.
	failures map[string]int
	change   chan struct{} // closed and renewed at each change that a waiter may wait for
}

func newQueue(plan []stream.Chunk) *queue {
	return &queue{chunks: append([]stream.Chunk(nil), plan...), left: len(plan), failures: map[string]int{}, change: make(chan struct{})}
}

// take returns the next chunk; false when all are done.
func (q *queue) take(ctx context.Context) (stream.Chunk, bool, error) {
	for {
		q.mu.Lock()
		if q.left == 0 {
			q.mu.Unlock()
			return stream.Chunk{}, false, nil
		}
		if len(q.chunks) > 0 {
			c := q.chunks[0]
			q.chunks = q.chunks[1:]
			q.mu.Unlock()
			return c, true, nil
		}
		change := q.change
		q.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return stream.Chunk{}, false, context.Cause(ctx)
		}
	}
}

func (q *queue) giveBack(c stream.Chunk, next bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if next {
		q.chunks = slices.Insert(q.chunks, 0, c)
	} else {
		q.chunks = append(q.chunks, c)
	}
	q.signal()
}

// failed counts a chunk's failures by an outage.
func (q *queue) failed(c stream.Chunk) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failures[c.Key]++
	return q.failures[c.Key]
}

func (q *queue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left--; q.left == 0 {
		q.signal()
	}
}

func (q *queue) signal() {
	close(q.change)
	q.change = make(chan struct{})
}
