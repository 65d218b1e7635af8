package pgsession

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// The server sends COPY's rows as one protocol message each, and pgconn hands them over one by
// one: for short rows that costs more than all else that is done with them. So the connection
// itself takes the rows out of what it reads, a buffer at a time, and shows pgconn the
// other messages only. What pgconn watches (deadlines, cancellation, errors) stays with it.

// copyBuffer is how many bytes are read at a time, and written to a CopyTo's writer at the most.
const copyBuffer = 256 << 10

// CopyTo runs COPY … TO STDOUT and writes the rows to w as the server sends them, many rows in a
// Write, whose slice it uses again. An error of w ends the session and is returned as it is.
func (s *Session) CopyTo(ctx context.Context, w io.Writer, sql string) (pgconn.CommandTag, error) {
	c, ok := s.Conn().(*conn)
	if !ok {
		return pgconn.CommandTag{}, errors.New("the session was not opened by this package")
	}
	out := &copyOut{w: w}
	c.out.Store(out)
	defer c.out.Store(nil)
	tag, err := s.PgConn.CopyTo(ctx, strayRows{}, sql)
	if out.err != nil {
		err = out.err
	}
	return tag, err
}

// copyOut is a COPY under way.
type copyOut struct {
	w   io.Writer
	err error // w's
}

// strayRows is where no row may ever come.
type strayRows struct{}

func (strayRows) Write([]byte) (int, error) {
	return 0, errors.New("rows came past the session's own reading of them")
}

// conn is a connection, inside TLS where there is TLS, that takes rows out of what it reads while a
// copyOut is set. It follows the messages from the connection's first
// byte on, and asks for the copyOut after each read: a read may have begun before the COPY did.
type conn struct {
	net.Conn
	out    atomic.Pointer[copyOut]
	stands stands
	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex // held while reading: when pgconn gives a session up, its last two readers overlap
	buf  []byte     // what was read
	r, n int        // buf[r:n] is not yet looked at
	row  int        // bytes still to come of a row's message
	pass int        // bytes still to come of another message, which go to the caller
}

const (
	msgCopyData = 'd'
	msgHeader   = 5 // type, and a length that counts itself
)

// Read reads what is not rows.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.r < c.n {
			if c.pass == 0 {
				if err := c.messages(); err != nil {
					return 0, err
				}
			}
			if c.pass > 0 && c.r < c.n {
				n := c.give(p, c.pass)
				c.pass -= n
				return n, nil
			}
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
}

// give copies up to limit of the bytes read to p.
func (c *conn) give(p []byte, limit int) int {
	n := copy(p, c.buf[c.r:min(c.n, c.r+limit)])
	c.r += n
	return n
}

// fill reads more, behind the part of a header that is left.
func (c *conn) fill() error {
	if c.buf == nil {
		c.buf = make([]byte, copyBuffer)
	}
	c.n = copy(c.buf, c.buf[c.r:c.n])
	c.r = 0
	c.stands.read.Begin()
	n, err := c.Conn.Read(c.buf[c.n:])
	c.stands.read.End()
	c.n += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// messages writes the rows in the buffer to the copyOut, up to the first other message, whose length it sets
// in pass, or up to what is no whole header.
func (c *conn) messages() error {
	out := c.out.Load()
	if out != nil && out.err != nil {
		return out.err
	}
	to := c.r // rows move down over their headers, and are written at once
	from := to
	for c.r < c.n {
		if c.row > 0 {
			n := min(c.row, c.n-c.r)
			if out == nil {
				// CopyTo gave up in the middle of a row, and the session is being closed.
				c.r, c.row = c.r+n, c.row-n
				to, from = c.r, c.r
				continue
			}
			if to != c.r {
				copy(c.buf[to:], c.buf[c.r:c.r+n])
			}
			to, c.r, c.row = to+n, c.r+n, c.row-n
			continue
		}
		if c.n-c.r < msgHeader {
			break
		}
		length := int(binary.BigEndian.Uint32(c.buf[c.r+1:]))
		if length < 4 {
			return errors.New("the server sent a message of an impossible length")
		}
		if c.buf[c.r] != msgCopyData || out == nil {
			c.pass = 1 + length
			break
		}
		c.row = length - 4
		c.r += msgHeader
	}
	if to > from {
		if _, err := out.w.Write(c.buf[from:to]); err != nil {
			out.err = err
			return err
		}
	}
	return nil
}
