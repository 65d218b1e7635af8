package s3store

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// memory is what the parts of all uploads share. An upload sets its share aside before it reads its first part, and keeps it
// to its end: so it never waits half-way, for others that wait for it.
type memory struct {
	limit int64 // in bytes
	room  *semaphore.Weighted

	mu         sync.Mutex
	held, most int64
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, room: semaphore.NewWeighted(limit)}
}

// take sets memory aside for an upload in parts of the size: for concurrency parts on their way and one that is being filled where
// there is room for so many, for one of each as soon as there is. It returns how many may be on their way. Who came first is
// served first; the error is ctx's.
func (m *memory) take(ctx context.Context, part int64, concurrency int) (int, func(), error) {
	n := part * int64(concurrency+1)
	if !m.room.TryAcquire(n) {
		concurrency, n = 1, 2*part
		if err := m.room.Acquire(ctx, n); err != nil {
			return 0, nil, err
		}
	}
	m.count(n)
	return concurrency, func() { m.count(-n); m.room.Release(n) }, nil
}

func (m *memory) count(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += n
	m.most = max(m.most, m.held)
}
