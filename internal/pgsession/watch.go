package pgsession

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/stream"
)

// A connection may die without a word: a firewall forgets it, a host is gone. Keepalives find that out where nothing is
// under way. Where bytes were sent that nobody acknowledges the system takes a quarter of an hour, and a proxy between that lives
// on answers all keepalives. But silence proves nothing: an index is built, a lock waited for, a disk is slow. So what stands still is
// judged by the server, which is asked on another connection: a process of it that waits for its client, while the client waits for
// it, will wait for ever.
//
// TCP_USER_TIMEOUT is not used: it also ends connections whose other side takes nothing for a while.

// Rested is from when on a session that was idle is tried out before it is used.
const Rested = 2 * time.Second

// standStill is the StandStill that a Conn has by itself.
const standStill = 2 * time.Minute

// backendStart is when a backend began, the same text whatever a session's settings are.
const backendStart = "pg_catalog.to_char(backend_start AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')"

// Backend is a process of the server that serves a session.
type Backend struct{ pid, start string }

// stands tells since when a connection waits for the other side.
type stands struct {
	read, write wait
	feeding     atomic.Bool // the rows of a COPY are being waited for, and not the server
}

// wait is one direction's.
type wait struct {
	since atomic.Int64 // in nanoseconds since start; 0 while nothing is waited for
	count atomic.Uint64
}

// start is where since counts from: the clock of the system may jump, this one doesn't.
var start = time.Now()

func (w *wait) begin() { w.since.Store(int64(time.Since(start)) + 1) }
func (w *wait) end()   { w.since.Store(0); w.count.Add(1) }

// long reports whether the wait takes longer than d.
func (w *wait) long(d time.Duration) bool {
	since := w.since.Load()
	return since > 0 && time.Since(start)-time.Duration(since) > d
}

// still reports whether nothing has moved for d.
func (s *stands) still(d time.Duration) bool {
	return s.write.long(d) || s.read.long(d) && !s.feeding.Load()
}

// Write passes bytes on in pieces, each of which counts as a sign of life.
func (c *conn) Write(p []byte) (n int, err error) {
	const piece = 32 << 10
	for len(p) > 0 && err == nil {
		var k int
		c.stands.write.begin()
		k, err = c.Conn.Write(p[:min(len(p), piece)])
		c.stands.write.end()
		n += k
		p = p[k:]
	}
	return n, err
}

// Close closes the connection.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// limit is StandStill, or what stands for it.
func (c *Conn) limit() time.Duration {
	if c.StandStill <= 0 {
		return standStill
	}
	return c.StandStill
}

// Alive tries out a session that was idle. One that doesn't answer soon, with nothing to do but that, is closed: it is for sessions
// that can be replaced.
func (s *Session) Alive(ctx context.Context) bool {
	if s.IsClosed() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, s.answers)
	defer cancel()
	return s.Ping(ctx) == nil
}

// watch cuts a connection that stands still while its backend waits for us, or is gone.
func (c *Conn) watch(w *conn, b Backend) {
	limit := c.limit()
	t := time.NewTicker(max(limit/4, time.Millisecond))
	unreached := 0
	defer t.Stop()
	for {
		select {
		case <-w.closed:
			return
		case <-t.C:
		}
		if !w.stands.still(limit) {
			unreached = 0
			continue
		}
		moved := w.stands.read.count.Load() + w.stands.write.count.Load()
		ctx, cancel := context.WithTimeout(context.Background(), max(limit, 15*time.Second))
		dead, reached := c.waits(ctx, w.closed, b)
		cancel()
		if reached {
			unreached = 0
		} else if unreached++; unreached < unreachedFor {
			dead = false
		}
		if dead && w.stands.still(limit) && moved == w.stands.read.count.Load()+w.stands.write.count.Load() {
			_ = w.Close() // who waits gets an error, and tries again
			return
		}
	}
}

// unreachedFor is how often in a row the server must not be reached before that counts as an answer: a name that is not
// found once, or a server too busy to greet, says nothing of what it works at.
const unreachedFor = 4

// waits asks the server whether a backend waits for its client, twice, or is gone. A server that can't be reached can't
// serve it either. Of a backend that the role may not see, as where a setting changes a session's role, nothing is known.
func (c *Conn) waits(ctx context.Context, closed <-chan struct{}, b Backend) (dead, reached bool) {
	if b.start == "" {
		return false, true
	}
	cfg, err := c.fresh(ctx)
	if err != nil {
		return false, true
	}
	asked, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		// What the server says, that it has too many connections already, says nothing of this one.
		return true, Code(err) != "" || stream.KindOf(c.explain(err)) != stream.Outage
	}
	defer func() { _ = asked.Close(context.WithoutCancel(ctx)) }()
	for range 2 {
		select {
		case <-time.After(time.Second):
		case <-closed:
			return false, true
		}
		r := asked.ExecParams(ctx, "SELECT wait_event_type FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) $1 AND "+backendStart+" OPERATOR(pg_catalog.=) $2",
			[][]byte{[]byte(b.pid), []byte(b.start)}, nil, nil, nil).Read()
		if r.Err != nil {
			return false, true
		}
		if len(r.Rows) > 0 && string(r.Rows[0][0]) != "Client" {
			return false, true
		}
	}
	return true, true
}

// CopyFrom runs COPY … FROM STDIN with the rows that r yields.
func (s *Session) CopyFrom(ctx context.Context, r io.Reader, sql string) (pgconn.CommandTag, error) {
	if c, ok := s.Conn().(*conn); ok {
		r = &feed{r: r, stands: &c.stands}
	}
	return s.PgConn.CopyFrom(ctx, r, sql)
}

// feed notes while rows are waited for: then the server rightly waits as well.
type feed struct {
	r      io.Reader
	stands *stands
}

func (f *feed) Read(p []byte) (int, error) {
	f.stands.feeding.Store(true)
	n, err := f.r.Read(p)
	if since := f.stands.read.since.Load(); since > 0 {
		// From here on it is the server's turn.
		f.stands.read.since.CompareAndSwap(since, int64(time.Since(start))+1)
	}
	f.stands.feeding.Store(false)
	return n, err
}

// Bury ends a backend whose session was lost: it may hold locks, or a transaction, until the server notices that nobody is there. It
// returns once the process is gone. One that is still there after ten seconds is an error, an outage, and may yet commit.
func (s *Session) Bury(ctx context.Context, b Backend) error {
	if b.pid == "" {
		return nil
	}
	// One that the role may not see is known by its number alone: that it may not end it is an error then, and no leave to go on.
	when := backendStart + " OPERATOR(pg_catalog.=) " + Literal(b.start)
	if b.start == "" {
		when = "backend_start IS NULL"
	}
	which := fmt.Sprintf("FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) %s AND %s AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()", b.pid, when)
	for deadline := time.Now().Add(10 * time.Second); ; {
		rows, err := s.Rows(ctx, "SELECT pg_catalog.pg_terminate_backend(pid) "+which)
		if err != nil || len(rows) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return stream.Fail(stream.Outage, "the server doesn't end its process %s, whose connection is lost", b.pid).WithHint("end it with pg_terminate_backend, then go on")
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
