package stream

import (
	"io"
	"sync"
)

// A pipe carries bytes from one goroutine to another in blocks. io.Pipe hands
// over write by write, and a database driver writes row by row: at 100 bytes a
// row the hand-over costs more than the row. The blocks are recycled; nothing is
// allocated per write.
const (
	pipeBlock  = 128 << 10
	pipeBlocks = 4
)

type pipe struct {
	full  chan []byte
	free  chan []byte
	wdone chan struct{} // closed when the writer has ended
	rdone chan struct{} // closed when the reader has ended
	wonce sync.Once
	ronce sync.Once
	werr  error // valid after wdone is closed
	rerr  error // valid after rdone is closed
}

type pipeReader struct {
	p   *pipe
	cur []byte // what is left of the block being read
	blk []byte
}

type pipeWriter struct {
	p   *pipe
	cur []byte
}

func newPipe() (*pipeReader, *pipeWriter) {
	p := &pipe{
		full:  make(chan []byte, pipeBlocks),
		free:  make(chan []byte, pipeBlocks),
		wdone: make(chan struct{}),
		rdone: make(chan struct{}),
	}
	for range pipeBlocks {
		p.free <- nil
	}
	return &pipeReader{p: p}, &pipeWriter{p: p}
}

// Write copies b into blocks; it returns the reader's error once that has ended.
func (w *pipeWriter) Write(b []byte) (int, error) {
	n := 0
	for len(b) > 0 {
		if w.cur == nil {
			select {
			case w.cur = <-w.p.free:
				if w.cur == nil {
					w.cur = make([]byte, 0, pipeBlock)
				}
				w.cur = w.cur[:0]
			case <-w.p.rdone:
				return n, w.p.rerr
			}
		}
		k := min(len(b), cap(w.cur)-len(w.cur))
		w.cur = append(w.cur, b[:k]...)
		b, n = b[k:], n+k
		if len(w.cur) == cap(w.cur) {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (w *pipeWriter) flush() error {
	if len(w.cur) == 0 {
		return nil
	}
	select {
	case w.p.full <- w.cur:
		w.cur = nil
		return nil
	case <-w.p.rdone:
		return w.p.rerr
	}
}

// CloseWithError ends the stream: the reader gets all that was written and then
// err, io.EOF where err is nil.
func (w *pipeWriter) CloseWithError(err error) error {
	ferr := w.flush()
	w.p.wonce.Do(func() {
		if err == nil {
			err = io.EOF
		}
		w.p.werr = err
		close(w.p.wdone)
	})
	return ferr
}

// next makes the reader's current block non-empty.
func (r *pipeReader) next() error {
	if r.blk != nil {
		r.p.free <- r.blk
		r.blk = nil
	}
	select {
	case r.blk = <-r.p.full:
	default:
		select {
		case r.blk = <-r.p.full:
		case <-r.p.rdone:
			return io.ErrClosedPipe
		case <-r.p.wdone:
			// What was written before the end comes first.
			select {
			case r.blk = <-r.p.full:
			default:
				return r.p.werr
			}
		}
	}
	r.cur = r.blk
	return nil
}

// Read returns the next bytes.
func (r *pipeReader) Read(b []byte) (int, error) {
	if len(r.cur) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.cur)
	r.cur = r.cur[n:]
	return n, nil
}

// CloseWithError makes every further Write fail with err.
func (r *pipeReader) CloseWithError(err error) {
	r.p.ronce.Do(func() {
		if err == nil {
			err = io.ErrClosedPipe
		}
		r.p.rerr = err
		close(r.p.rdone)
	})
}
