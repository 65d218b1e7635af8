package s3store

import (
	"context"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"
)

// page is the size, in bytes, of the pieces of memory that parts are made of. All are alike, so that what an upload
// gives back serves the next, whatever the size of its parts, and nothing waits for the garbage
// collector.
const page = mib

// buffer is the memory of a part: pages in order.
type buffer [][]byte

func (b buffer) size() int { return len(b) * page }

// ReadAt reads from offset, which is in the buffer.
func (b buffer) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	for i, at := int(offset/page), int(offset%page); i < len(b) && n < len(p); i, at = i+1, 0 {
		n += copy(p[n:], b[i][at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// body reads the first n bytes.
func (b buffer) body(n int) io.ReadSeeker { return io.NewSectionReader(b, 0, int64(n)) }

// fill reads into the buffer after its first n bytes until it is full, and returns how many bytes it holds then. The
// error is that of r or, where r ends before the buffer is full, io.EOF or io.ErrUnexpectedEOF.
func (b buffer) fill(r io.Reader, n int) (int, error) {
	for n < b.size() {
		got, err := io.ReadFull(r, b[n/page][n%page:])
		n += got
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// memory is all pages of parts: it never has more than its limit, those in store included.
type memory struct {
	limit int64               // in bytes
	room  *semaphore.Weighted // pages that are not in use

	mu   sync.Mutex
	idle [][]byte
	made int64 // pages in use and idle
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, room: semaphore.NewWeighted(limit / page)}
}

// wait returns a buffer of size bytes, which are whole pages, as soon as there is room; who came first is served first.
// The error is ctx's. A size above the limit waits for ctx to end.
func (m *memory) wait(ctx context.Context, size int64) (buffer, error) {
	if err := m.room.Acquire(ctx, size/page); err != nil {
		return nil, err
	}
	return m.take(int(size / page)), nil
}

// try is wait, but returns nil where there is no room or others wait for it.
func (m *memory) try(size int64) buffer {
	if !m.room.TryAcquire(size / page) {
		return nil
	}
	return m.take(int(size / page))
}

// take returns n pages, for which there is room.
func (m *memory) take(n int) buffer {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := make(buffer, 0, n)
	for range n {
		if last := len(m.idle) - 1; last >= 0 {
			b = append(b, m.idle[last])
			m.idle = m.idle[:last]
			continue
		}
		m.made++
		b = append(b, make([]byte, page))
	}
	return b
}

// release takes a buffer back.
func (m *memory) release(b buffer) {
	m.mu.Lock()
	m.idle = append(m.idle, b...)
	m.mu.Unlock()
	m.room.Release(int64(len(b)))
}
