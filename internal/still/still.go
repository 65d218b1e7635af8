// Package still notices that nothing moves on a connection, has its server asked whether that will ever change, and
// cuts the connection where it won't.
//
// It imports the standard library and knows no engine: who opens connections says how their server is asked.
package still

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// Wait is one direction of a connection: since when the other side is waited for.
type Wait struct {
	since atomic.Int64 // in nanoseconds since start; 0 while nothing is waited for
	count atomic.Uint64
}

// start is where since counts from: the clock of the system may jump, this one doesn't.
var start = time.Now()

// Begin notes that the other side is waited for from now on.
func (w *Wait) Begin() { w.since.Store(int64(time.Since(start)) + 1) }

// End notes that it is waited for no more.
func (w *Wait) End() { w.since.Store(0); w.count.Add(1) }

// Restart has a wait, where there is one, count from now on.
func (w *Wait) Restart() {
	if since := w.since.Load(); since > 0 {
		w.since.CompareAndSwap(since, int64(time.Since(start))+1)
	}
}

// Long reports whether the wait takes longer than d.
func (w *Wait) Long(d time.Duration) bool {
	since := w.since.Load()
	return since > 0 && time.Since(start)-time.Duration(since) > d
}

// Count is how often a wait has ended.
func (w *Wait) Count() uint64 { return w.count.Load() }

// Write passes bytes on in pieces, each of which counts as a sign of life.
func Write(c net.Conn, w *Wait, p []byte) (n int, err error) {
	const piece = 32 << 10
	for len(p) > 0 && err == nil {
		var k int
		w.Begin()
		k, err = c.Write(p[:min(len(p), piece)])
		w.End()
		n += k
		p = p[k:]
	}
	return n, err
}

// Connection is what Watch watches.
type Connection interface {
	// Still reports whether nothing has moved for d although the other side is waited for.
	Still(d time.Duration) bool
	// Moved changes whenever something does.
	Moved() uint64
	// Closed is closed with the connection.
	Closed() <-chan struct{}
	Close() error
}

// unreachedFor is how often in a row the server must not be reached before that counts as an answer: a name that is not
// found once, or a server too busy to greet, says nothing of what it works at.
const unreachedFor = 4

// Watch cuts a connection that stands still for limit, if its server says that it waits for us too, or doesn't know it any more,
// or can't be reached. It returns once the connection is closed, and whether it was cut. ask returns whether that is so, and whether the server was reached.
func Watch(c Connection, limit time.Duration, ask func(ctx context.Context) (dead, reached bool)) bool {
	t := time.NewTicker(max(limit/4, time.Millisecond))
	defer t.Stop()
	unreached := 0
	for {
		select {
		case <-c.Closed():
			return false
		case <-t.C:
		}
		if !c.Still(limit) {
			unreached = 0
			continue
		}
		moved := c.Moved()
		ctx, cancel := context.WithTimeout(context.Background(), max(limit, 15*time.Second))
		dead, reached := ask(ctx)
		cancel()
		if reached {
			unreached = 0
		} else if unreached++; unreached < unreachedFor {
			dead = false
		}
		if dead && c.Still(limit) && moved == c.Moved() {
			_ = c.Close() // who waits gets an error, and tries again
			return true
		}
	}
}
