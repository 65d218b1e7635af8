package pipestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// offer is one Put of a data object until it is settled: acknowledged, abandoned or failed.
type offer struct {
	store *Store
	key   string
	r     io.Reader

	// Guarded by store.mu.
	taken   bool
	settled bool
	result  error // what Put returns, once settled

	done chan struct{} // closed when settled
	// Put returns with both of these free: reading is held while r is read, ending while
	// r is being unblocked.
	reading, ending sync.Mutex
}

// settle sets what Put returns, the first time; store.mu is held.
func (o *offer) settle(result error) {
	if o.settled {
		return
	}
	o.settled = true
	o.result = result
	delete(o.store.offers, o.key)
	close(o.done)
}

// leave is Put's way out once o is settled: it waits until nobody reads r.
func (o *offer) leave() error {
	o.store.mu.Lock()
	err := o.result
	o.store.mu.Unlock()
	if err != nil {
		unblock(o.r, err)
	}
	o.ending.Lock()
	defer o.ending.Unlock()
	o.reading.Lock()
	defer o.reading.Unlock()
	return err
}

// open reports whether o is not settled yet.
func (o *offer) open() bool {
	select {
	case <-o.done:
		return false
	default:
		return true
	}
}

// unblock ends a Read of r under way, where r can.
func unblock(r io.Reader, err error) {
	if c, ok := r.(interface{ CloseWithError(error) error }); ok {
		_ = c.CloseWithError(err)
	}
}

// errDone is what reading returns after the object was acknowledged.
var errDone = errors.New("the object was closed")

// Object is a data object that was taken. It reads straight from the reader handed to Put. It
// must be ended by Close, the acknowledgement, or by Abandon: until then Put waits. Read and
// WriteTo belong to one goroutine; Close and Abandon may come from another.
type Object struct {
	*offer
	ctx  context.Context
	stop func() bool // forgets ctx
	end  error       // what ended the reading; guarded by offer.reading
	eof  atomic.Bool // end is io.EOF
}

func newObject(ctx context.Context, o *offer) *Object {
	ob := &Object{offer: o, ctx: ctx}
	// A getter whose ctx ends must not hang in a Read of a source that is silent.
	ob.stop = context.AfterFunc(ctx, func() {
		o.ending.Lock()
		defer o.ending.Unlock()
		if o.open() {
			unblock(o.r, ctx.Err())
		}
	})
	return ob
}

// over returns why no more may be read; nil while reading goes on.
func (ob *Object) over() error {
	if ob.open() {
		return ob.ctx.Err()
	}
	ob.store.mu.Lock()
	defer ob.store.mu.Unlock()
	if ob.result == nil {
		return errDone
	}
	return ob.result
}

// finish notes what ended the reading. A failure of the source settles the offer: Put has failed,
// whatever the getter does now.
func (ob *Object) finish(err error) error {
	if cause := ob.over(); cause != nil {
		// The source may have failed, or ended, only because it was unblocked.
		err = cause
	} else if err != io.EOF {
		ob.store.mu.Lock()
		ob.settle(err)
		ob.store.mu.Unlock()
	}
	ob.stop()
	ob.end = err
	ob.eof.Store(err == io.EOF)
	return err
}

// Read reads the object. It returns io.EOF only where the writer's reader did, and
// that reader's own error where it failed.
func (ob *Object) Read(p []byte) (int, error) {
	ob.reading.Lock()
	defer ob.reading.Unlock()
	if ob.end != nil {
		return 0, ob.end
	}
	if err := ob.over(); err != nil {
		return 0, err
	}
	n, err := ob.r.Read(p)
	if err != nil {
		err = ob.finish(err)
	}
	return n, err
}

// WriteTo writes the object to w until its end. It implements io.WriterTo, with the
// writer's reader's own WriteTo where it has one.
func (ob *Object) WriteTo(w io.Writer) (int64, error) {
	ob.reading.Lock()
	defer ob.reading.Unlock()
	if ob.end == io.EOF {
		return 0, nil
	}
	if ob.end != nil {
		return 0, ob.end
	}
	if err := ob.over(); err != nil {
		return 0, err
	}
	relay := &relay{ob: ob, w: w}
	// io.Copy uses ob.r's WriteTo where there is one.
	n, err := io.Copy(relay, ob.r)
	switch {
	case relay.err != nil:
		// w failed, and who knows how much of the source was used up: no reading goes
		// on, and the getter abandons.
		ob.end = relay.err
		return n, relay.err
	case err == nil:
		err = io.EOF
	}
	if err = ob.finish(err); err == io.EOF {
		return n, nil
	}
	return n, err
}

// relay writes to w while the object may be read, and tells w's errors from the source's.
type relay struct {
	ob  *Object
	w   io.Writer
	err error
}

func (y *relay) Write(p []byte) (int, error) {
	if y.err = y.ob.over(); y.err != nil {
		return 0, y.err
	}
	var n int
	if n, y.err = y.w.Write(p); y.err == nil && n < len(p) {
		y.err = io.ErrShortWrite
	}
	return n, y.err
}

// Source returns the reader that was handed to Put, for what it knows beyond its bytes:
// after io.EOF, not before.
func (ob *Object) Source() io.Reader { return ob.r }

// Close acknowledges the object: Put returns nil. It is for the getter that has seen io.EOF and
// has stored what it read. Where io.EOF was not seen, Close abandons the object. It
// returns nil only if the object is acknowledged; an error also where the writer gave up before.
func (ob *Object) Close() error {
	if !ob.eof.Load() {
		return ob.give(fmt.Errorf("object %s: %w before its end", ob.key, ErrAbandoned))
	}
	return ob.give(nil)
}

// Abandon gives the object back because of err, which may be nil: Put returns an error that
// wraps ErrAbandoned and err. After Close it does nothing.
func (ob *Object) Abandon(err error) {
	if err == nil {
		err = errors.New("no reason was given")
	}
	_ = ob.give(fmt.Errorf("object %s: %w: %w", ob.key, ErrAbandoned, err))
}

// give settles the object and returns what Put returns. It doesn't wait for a Read under way on
// a silent source: Put ends that.
func (ob *Object) give(result error) error {
	ob.stop()
	ob.store.mu.Lock()
	defer ob.store.mu.Unlock()
	ob.settle(result)
	return ob.result
}
