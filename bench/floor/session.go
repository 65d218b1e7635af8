package floor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// session is a database session of which only the socket is left: COPY's messages are
// passed on as blocks of bytes, which no driver does.
type session struct {
	conn net.Conn
	stop func() bool
	in   []byte // read from the socket and not yet taken: in[at:end]
	at   int
	end  int
	out  []byte
}

const (
	readSize  = 256 << 10
	frameSize = 64 << 10
)

// open connects; when ctx ends, what the session does ends with an error.
func open(ctx context.Context, url string) (*session, error) {
	c, err := pgconn.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := c.SyncConn(ctx); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	h, err := c.Hijack()
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	s := &session{conn: h.Conn, in: make([]byte, readSize), out: make([]byte, 0, frameSize+5)}
	s.stop = context.AfterFunc(ctx, func() { _ = h.Conn.Close() })
	return s, nil
}

// close says goodbye, so that the server does not log a lost connection.
func (s *session) close() {
	s.stop()
	_, _ = s.conn.Write([]byte{'X', 0, 0, 0, 4})
	_ = s.conn.Close()
}

// send sends a query.
func (s *session) send(sql string) error {
	b, err := (&pgproto3.Query{String: sql}).Encode(nil)
	if err != nil {
		return err
	}
	_, err = s.conn.Write(b)
	return err
}

// exec runs statements whose rows nobody wants.
func (s *session) exec(sql string) error {
	if err := s.send(sql); err != nil {
		return err
	}
	return s.ready()
}

// fill reads more from the socket behind what is there.
func (s *session) fill() error {
	if s.at == s.end {
		s.at, s.end = 0, 0
	} else if s.end == len(s.in) {
		s.end = copy(s.in, s.in[s.at:s.end])
		s.at = 0
	}
	n, err := s.conn.Read(s.in[s.end:])
	s.end += n
	if n > 0 {
		return nil
	}
	return err
}

// header takes the next message's kind and the length of its body.
func (s *session) header() (kind byte, n int, err error) {
	for s.end-s.at < 5 {
		if err := s.fill(); err != nil {
			return 0, 0, err
		}
	}
	kind, n = s.in[s.at], int(binary.BigEndian.Uint32(s.in[s.at+1:]))-4
	s.at += 5
	if n < 0 {
		return 0, 0, fmt.Errorf("a message of %d bytes", n)
	}
	return kind, n, nil
}

// body takes n bytes, a piece at a time.
func (s *session) body(n int, take func([]byte) error) error {
	for n > 0 {
		if s.at == s.end {
			if err := s.fill(); err != nil {
				return err
			}
		}
		piece := s.in[s.at:min(s.end, s.at+n)]
		s.at += len(piece)
		n -= len(piece)
		if err := take(piece); err != nil {
			return err
		}
	}
	return nil
}

// small takes a message's body as a whole.
func (s *session) small(n int) (b []byte, err error) {
	err = s.body(n, func(p []byte) error { b = append(b, p...); return nil })
	return b, err
}

// ready reads until the server takes the next query, and returns its error if it sent one.
func (s *session) ready() error {
	var failed error
	for {
		kind, n, err := s.header()
		if err != nil {
			return errors.Join(failed, err)
		}
		b, err := s.small(n)
		if err != nil {
			return errors.Join(failed, err)
		}
		switch kind {
		case 'E':
			failed = serverError(b)
		case 'Z':
			return failed
		}
	}
}

func serverError(b []byte) error {
	var m pgproto3.ErrorResponse
	if err := m.Decode(b); err != nil {
		return err
	}
	return pgconn.ErrorResponseToPgError(&m)
}

// begin sends a COPY and reads until the server has begun it.
func (s *session) begin(sql string, want byte) error {
	if err := s.send(sql); err != nil {
		return err
	}
	for {
		kind, n, err := s.header()
		if err != nil {
			return err
		}
		b, err := s.small(n)
		switch {
		case err != nil:
			return err
		case kind == 'E':
			return errors.Join(serverError(b), s.ready())
		case kind == want:
			return nil
		}
	}
}

// data puts COPY's bytes into frames, which need not be the other server's.
func (s *session) data(b []byte) error {
	for len(b) > 0 {
		if len(s.out) == 0 {
			s.out = append(s.out, 'd', 0, 0, 0, 0)
		}
		n := min(len(b), cap(s.out)-len(s.out))
		s.out = append(s.out, b[:n]...)
		b = b[n:]
		if len(s.out) == cap(s.out) {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	binary.BigEndian.PutUint32(s.out[1:], uint32(len(s.out)-1))
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// relay pipes one COPY into another.
func relay(from *session, read string, to *session, write string) error {
	if err := to.begin(write, 'G'); err != nil {
		return err
	}
	if err := from.begin(read, 'H'); err != nil {
		return err
	}
	for {
		kind, n, err := from.header()
		if err != nil {
			return err
		}
		if kind == 'd' {
			if err := from.body(n, to.data); err != nil {
				return err
			}
			continue
		}
		b, err := from.small(n)
		if err != nil {
			return err
		}
		switch kind {
		case 'E': // the caller gives up, and the target rolls back when the session ends
			return serverError(b)
		case 'Z':
			if err := to.flush(); err != nil {
				return err
			}
			if _, err := to.conn.Write([]byte{'c', 0, 0, 0, 4}); err != nil {
				return err
			}
			return to.ready()
		}
	}
}
