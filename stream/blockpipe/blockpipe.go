// Package blockpipe is an in-memory pipe in blocks: io.Pipe for writers that write a row
// at a time and readers that would rather have many rows at once.
//
// It imports the standard library alone. It never starts a goroutine and never allocates
// in a write once its blocks are there.
package blockpipe

import (
	"io"
	"sync"
	"time"
)

// The sizes that New takes for zero: the number of blocks, and a block's bytes.
const (
	DefaultBlocks    = 4
	DefaultBlockSize = 256 << 10
)

// linger is how long a reader waits for a block to fill up before it takes the part that is
// there. Waking it for every write would cost what io.Pipe costs.
const linger = 100 * time.Millisecond

// pipe is a ring of blocks. The blocks from head on are full and wait for the reader;
// the one after them is being filled.
type pipe struct {
	mu     sync.Mutex
	blocks [][]byte
	size   int
	head   int
	full   int
	// held: the block at head is the reader's, who reads it without the lock.
	held bool
	// writeEnd is what the reader gets after the last byte, readEnd what the writer gets;
	// nil while that end is open.
	writeEnd, readEnd error

	// The tokens that wake one side; a token left over costs one look.
	toReader, toWriter chan struct{}
}

// New returns the ends of a pipe of blocks blocks of blockSize bytes each, which is the
// memory that it takes at most; zero and less mean the defaults, and there are at least two
// blocks. Each end belongs to one goroutine at a time, but both Close and CloseWithError may
// be called from any, also while the other methods block.
//
// As in io.Pipe what is written is read in order, and closing one end ends the other's calls.
// Unlike in io.Pipe a Write that returned need not have been read yet.
func New(blocks, blockSize int) (*Reader, *Writer) {
	if blocks <= 0 {
		blocks = DefaultBlocks
	}
	if blockSize <= 0 {
		blockSize = DefaultBlockSize
	}
	p := &pipe{
		blocks:   make([][]byte, max(blocks, 2)),
		size:     blockSize,
		toReader: make(chan struct{}, 1),
		toWriter: make(chan struct{}, 1),
	}
	return &Reader{p: p}, &Writer{p: p}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (p *pipe) closeRead(err error) {
	if err == nil {
		err = io.ErrClosedPipe
	}
	p.mu.Lock()
	if p.readEnd == nil {
		p.readEnd = err
	}
	p.mu.Unlock()
	wake(p.toReader)
	wake(p.toWriter)
}

func (p *pipe) closeWrite(err error) {
	if err == nil {
		err = io.EOF
	}
	p.mu.Lock()
	if p.writeEnd == nil {
		p.writeEnd = err
	}
	p.mu.Unlock()
	wake(p.toReader)
	wake(p.toWriter)
}

// Writer is the end that is written to.
type Writer struct{ p *pipe }

// Write copies b into the pipe's blocks and blocks while all are full. Once the reader's end
// is closed it returns that end's error, io.ErrClosedPipe by default; once its own
// end is closed, io.ErrClosedPipe.
func (w *Writer) Write(b []byte) (int, error) {
	p := w.p
	done := 0
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.writeEnd != nil {
			return done, io.ErrClosedPipe
		}
		if p.readEnd != nil {
			return done, p.readEnd
		}
		if done == len(b) {
			return done, nil
		}
		if p.full == len(p.blocks) {
			p.mu.Unlock()
			<-p.toWriter
			p.mu.Lock()
			continue
		}
		i := (p.head + p.full) % len(p.blocks)
		if p.blocks[i] == nil {
			p.blocks[i] = make([]byte, 0, p.size)
		}
		block := p.blocks[i]
		n := copy(block[len(block):p.size], b[done:])
		p.blocks[i] = block[:len(block)+n]
		if done += n; len(block)+n == p.size {
			p.full++
			wake(p.toReader)
		}
	}
}

// Close ends the stream: the reader gets io.EOF after the last byte. It returns nil.
func (w *Writer) Close() error { return w.CloseWithError(nil) }

// CloseWithError ends the stream: the reader gets err after the last byte, io.EOF for
// nil. Only the first closing of this end counts. It returns nil.
func (w *Writer) CloseWithError(err error) error {
	w.p.closeWrite(err)
	return nil
}

// Reader is the end that is read from.
type Reader struct {
	p *pipe
	// rest is what is unread of the block that is held.
	rest  []byte
	timer *time.Timer
}

// next releases the block that was read and waits for another: a full one, or what there is
// after linger.
func (r *Reader) next() error {
	p := r.p
	lingered := false
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.blocks[p.head] = p.blocks[p.head][:0]
		p.head = (p.head + 1) % len(p.blocks)
		p.full--
		p.held = false
		wake(p.toWriter)
	}
	for {
		if p.readEnd != nil {
			return io.ErrClosedPipe
		}
		part := p.full == 0 && len(p.blocks[p.head]) > 0
		if part && (lingered || p.writeEnd != nil) {
			p.full = 1 // what there is goes as a block
		}
		if p.full > 0 {
			p.held = true
			r.rest = p.blocks[p.head]
			return nil
		}
		if p.writeEnd != nil {
			return p.writeEnd
		}
		p.mu.Unlock()
		if r.timer == nil {
			r.timer = time.NewTimer(linger)
		} else {
			r.timer.Reset(linger)
		}
		select {
		case <-p.toReader:
			r.timer.Stop()
		case <-r.timer.C:
			lingered = true
		}
		p.mu.Lock()
	}
}

// Read reads from the pipe and blocks until there is something. After the last byte it returns
// the error that the writer's end was closed with, io.EOF by default; once its own end is
// closed, io.ErrClosedPipe.
func (r *Reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(r.rest) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	} else if r.closed() {
		return 0, io.ErrClosedPipe
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo writes whole blocks to w until the stream ends; io.EOF is no error. It implements
// io.WriterTo.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if len(r.rest) == 0 {
			err := r.next()
			if err == io.EOF {
				return total, nil
			}
			if err != nil {
				return total, err
			}
		} else if r.closed() {
			return total, io.ErrClosedPipe
		}
		n, err := w.Write(r.rest)
		total += int64(n)
		if err == nil && n < len(r.rest) {
			err = io.ErrShortWrite
		}
		r.rest = r.rest[n:]
		if err != nil {
			return total, err
		}
	}
}

func (r *Reader) closed() bool {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.p.readEnd != nil
}

// Close closes the reading end: writes return io.ErrClosedPipe. It returns nil.
func (r *Reader) Close() error { return r.CloseWithError(nil) }

// CloseWithError closes the reading end: writes return err, io.ErrClosedPipe for nil.
// Only the first closing of this end counts. It returns nil.
func (r *Reader) CloseWithError(err error) error {
	r.p.closeRead(err)
	return nil
}
