package pgsession

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/still"
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
	read, write still.Wait
	feeding     atomic.Bool // the rows of a COPY are being waited for, and not the server
}

// Still reports whether nothing has moved for d.
func (c *conn) Still(d time.Duration) bool {
	return c.stands.write.Long(d) || c.stands.read.Long(d) && !c.stands.feeding.Load()
}

// Moved counts what has moved.
func (c *conn) Moved() uint64 { return c.stands.read.Count() + c.stands.write.Count() }

// Closed is closed with the connection.
func (c *conn) Closed() <-chan struct{} { return c.closed }

// Write passes bytes on.
func (c *conn) Write(p []byte) (int, error) { return still.Write(c.Conn, &c.stands.write, p) }

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
	still.Watch(w, c.limit(), func(ctx context.Context) (dead, reached bool) { return c.waits(ctx, w.closed, b) })
}

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
		reached = Code(err) != "" || stream.KindOf(c.explain(err)) != stream.Outage
		return !reached, reached
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
	f.stands.read.Restart() // from here on it is the server's turn
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
