package mysession

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgmove/pgmove/internal/still"
	"github.com/pgmove/pgmove/stream"
)

// A server numbers its connections from 1 on whenever it starts, so a number says not for sure whose a connection is. Each session
// holds a lock of the server's under a name that no other ever has. The server lets go of it after the session's transaction has
// ended and its last statement is over: who has the lock is that session, and where nobody has it, nothing of the session goes on.
//
// A connection that stands still is judged by the server, as package pgsession tells: one on which the server
// waits for its client, while the client waits for it, will stand still for ever.

// Rested is from when on a session that was idle is tried out before it is used.
const Rested = 2 * time.Second

// standStill is the StandStill that a Conn has by itself.
const standStill = 2 * time.Minute

// buried is how long a lost session is waited for: a server may have much of its to undo.
const buried = time.Minute

const (
	errNoThread   = 1094 // ER_NO_SUCH_THREAD
	errKillDenied = 1095 // ER_KILL_DENIED_ERROR: it is another account's
)

// Backend is what of a session is on the server.
type Backend struct {
	lock string // the name of its lock
	// unsigned says that the server gave it no lock, and nothing can be known of it.
	unsigned bool
}

// conn is a connection, below TLS, that knows since when the other side is waited for. The driver reads only while it waits for the
// server's answer.
type conn struct {
	net.Conn
	read, write still.Wait
	once        sync.Once
	closed      chan struct{}
}

// Read reads what the server sends.
func (c *conn) Read(p []byte) (int, error) {
	c.read.Begin()
	defer c.read.End()
	return c.Conn.Read(p)
}

// Write passes bytes on.
func (c *conn) Write(p []byte) (int, error) { return still.Write(c.Conn, &c.write, p) }

// Close closes the connection.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Still reports whether nothing has moved for d.
func (c *conn) Still(d time.Duration) bool { return c.write.Long(d) || c.read.Long(d) }

// Moved counts what has moved.
func (c *conn) Moved() uint64 { return c.read.Count() + c.write.Count() }

// Closed is closed with the connection.
func (c *conn) Closed() <-chan struct{} { return c.closed }

// limit is StandStill, or what stands for it.
func (c *Conn) limit() time.Duration {
	if c.StandStill <= 0 {
		return standStill
	}
	return c.StandStill
}

// sign gives the session its lock. A server may refuse locks to all, as some clusters do.
func (s *Session) sign(ctx context.Context) error {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	name := "pgmove " + hex.EncodeToString(b[:])
	is, err := s.Claim(ctx, name)
	if err != nil && (Code(err) == 0 || Lost(err)) {
		return err
	}
	s.Backend = Backend{lock: name}
	if !is {
		s.Backend = Backend{unsigned: true}
	}
	return nil
}

// Claim takes a lock of the server's, unless another session has it.
func (s *Session) Claim(ctx context.Context, name string) (bool, error) {
	row, err := s.Row(ctx, "SELECT GET_LOCK("+Literal(name)+", 0)")
	return err == nil && row[0] == "1", err
}

// Alive tries out a session that was idle. One that doesn't answer soon, with nothing to do but that, is ended: it is for sessions
// that can be replaced.
func (s *Session) Alive(ctx context.Context) bool {
	if !s.Lives() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, min(s.from.limit()/4, 15*time.Second))
	defer cancel()
	if s.conn.(driver.Pinger).Ping(ctx) != nil {
		s.End()
		return false
	}
	return true
}

// holder returns the number of the connection that has the session's lock, "" where nobody has it.
func (s *Session) holder(ctx context.Context, b Backend) (string, error) {
	row, err := s.Row(ctx, "SELECT IS_USED_LOCK("+Literal(b.lock)+")")
	if err != nil {
		return "", err
	}
	return row[0], nil
}

// Bury ends a session that was lost: it may hold locks, or a transaction, or go on with a statement until the server notices that nobody is
// there. It returns once nothing of it goes on any more. What is still there after a minute is an error, an outage.
func (s *Session) Bury(ctx context.Context, b Backend) error {
	if b.unsigned {
		return stream.Last(stream.Fail(stream.Outage, "the server gives no locks (GET_LOCK), so nobody knows what becomes of a connection that was lost").
			WithHint("run again with --resume once the server shows no session of pgmove any more"))
	}
	if b.lock == "" {
		return nil
	}
	var told time.Time
	for begun := time.Now(); ; {
		id, err := s.holder(ctx, b)
		if err != nil || id == "" {
			return err
		}
		if time.Since(told) > time.Second {
			told = time.Now()
			if err := s.Do(ctx, "KILL "+id); err != nil && Code(err) != errNoThread && Code(err) != errKillDenied {
				return err
			}
		}
		if time.Since(begun) > buried {
			return stream.Fail(stream.Outage, "the server has not yet ended its session %s, whose connection is lost", id).
				WithHint("wait until SHOW PROCESSLIST shows it no more, then run again with --resume")
		}
		select {
		case <-time.After(min(10*time.Millisecond+time.Since(begun)/10, time.Second)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// BuryAll buries all sessions that have a lock of one of the names.
func (s *Session) BuryAll(ctx context.Context, names []string) error {
	const atOnce = 500
	for part := range slices.Chunk(names, atOnce) {
		asked := make([]string, len(part))
		for i, n := range part {
			asked[i] = "IS_USED_LOCK(" + Literal(n) + ")"
		}
		row, err := s.Row(ctx, "SELECT "+strings.Join(asked, ", "))
		if err != nil {
			return err
		}
		for i, id := range row {
			if id == "" {
				continue
			}
			if err := s.Bury(ctx, Backend{lock: part[i]}); err != nil {
				return err
			}
		}
	}
	return nil
}

var errGone = errors.New("the server has ended the session")

// Kill has the server end the statement that another session of the same account runs. That session, and
// its transaction, stay.
func (s *Session) Kill(ctx context.Context) error {
	other, err := s.from.open(ctx)
	if err != nil {
		return err
	}
	defer other.End()
	id := fmt.Sprint(s.ID)
	if !s.Backend.unsigned {
		if id, err = other.holder(ctx, s.Backend); err != nil {
			return err
		}
		if id == "" {
			return errGone
		}
	}
	return other.Do(ctx, "KILL QUERY "+id)
}

// watch cuts a connection that stands still while the server waits for us, or has ended it. A server that doesn't know that would wait on.
func (c *Conn) watch(nc *conn, b Backend) {
	if !still.Watch(nc, c.limit(), func(ctx context.Context) (dead, reached bool) { return c.waits(ctx, nc.closed, b) }) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s, err := c.open(ctx); err == nil {
		defer s.End()
		_ = s.Bury(ctx, b) // who does again what it was at makes sure
	}
}

// waits asks the server whether it waits for the client of a session, twice, or has ended it. A server that can't be reached can't
// serve it either.
func (c *Conn) waits(ctx context.Context, closed <-chan struct{}, b Backend) (dead, reached bool) {
	if b.lock == "" {
		return false, true
	}
	asked, err := c.open(ctx)
	if err != nil {
		// What the server says, that it has too many connections already, says nothing of this one.
		reached = Code(err) != 0 || stream.KindOf(err) != stream.Outage
		return !reached, reached
	}
	defer asked.End()
	for range 2 {
		select {
		case <-time.After(time.Second):
		case <-closed:
			return false, true
		}
		if waiting, err := asked.waitsFor(ctx, b); err != nil || !waiting {
			return false, true
		}
	}
	return true, true
}

// forClient are the states of a session whose server reads what its client sends, or writes what that doesn't take: MariaDB's words
// and MySQL's.
var forClient = []string{"Reading from net", "Writing to net", "Receiving from client", "Sending to client"}

// waitsFor reports whether a session of the server's waits for its client, or is gone.
func (s *Session) waitsFor(ctx context.Context, b Backend) (bool, error) {
	id, err := s.holder(ctx, b)
	if err != nil || id == "" {
		return err == nil, err
	}
	rows, err := s.Named(ctx, "SHOW PROCESSLIST")
	for _, r := range rows {
		if r["Id"] == id {
			return r["Command"] == "Sleep" || slices.Contains(forClient, r["State"]), nil
		}
	}
	return false, err // it ended just now, or is not shown
}
