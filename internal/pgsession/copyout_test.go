package pgsession

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// pieces is a connection that yields bytes in pieces of random length.
type pieces struct {
	net.Conn
	b   []byte
	rnd *rand.Rand
	max int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := min(1+p.rnd.IntN(p.max), len(b), len(p.b))
	copy(b, p.b[:n])
	p.b = p.b[n:]
	return n, nil
}

func message(kind byte, body []byte) []byte {
	m := append([]byte{kind}, binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))...)
	return append(m, body...)
}

// TestConnTakesRowsOut: however the bytes come in, the rows come out in order and whole, and all other
// messages reach the caller as they are; while no COPY is on everything does.
func TestConnTakesRowsOut(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var wire, rows, rest []byte
		for range 1 + rnd.IntN(60) {
			body := make([]byte, rnd.IntN(1+[]int{0, 5, 5, 100, 100, 100, 5000, 5000, 5000, 400_000}[rnd.IntN(10)]))
			for i := range body {
				body[i] = byte(rnd.Uint32())
			}
			if rnd.IntN(10) < 8 {
				wire = append(wire, message('d', body)...)
				rows = append(rows, body...)
			} else {
				m := message("NCHZA"[rnd.IntN(5)], body)
				wire, rest = append(wire, m...), append(rest, m...)
			}
		}
		for _, copying := range []bool{true, false} {
			c := &conn{Conn: &pieces{b: wire, rnd: rnd, max: 1 + []int{0, 7, 1000, 1 << 20}[rnd.IntN(4)]}}
			var out bytes.Buffer
			wantRows, wantRest := rows, rest
			if copying {
				c.out.Store(&copyOut{w: &out})
			} else {
				wantRows, wantRest = nil, wire
			}
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, wantRest) || !bytes.Equal(out.Bytes(), wantRows) {
				t.Fatalf("seed %d, copying %t: %v; %d bytes of rows of %d, %d of the rest of %d", seed, copying, err, out.Len(), len(wantRows), len(got), len(wantRest))
			}
		}
	}
}

// TestConnRowsThatWaited: a read that began before the COPY hands its rows to it too.
func TestConnRowsThatWaited(t *testing.T) {
	here, there := net.Pipe()
	c := &conn{Conn: here}
	var out bytes.Buffer
	read := make(chan []byte, 1)
	go func() {
		b := make([]byte, 100)
		n, _ := c.Read(b)
		read <- b[:n]
	}()
	time.Sleep(20 * time.Millisecond)
	c.out.Store(&copyOut{w: &out})
	if _, err := there.Write(append(message('d', []byte("row\n")), message('Z', []byte("I"))...)); err != nil {
		t.Fatal(err)
	}
	if got := <-read; !bytes.Equal(got, message('Z', []byte("I"))) || out.String() != "row\n" {
		t.Errorf("%q came to the reader, %q to the COPY", got, out.String())
	}
	_ = here.Close()
	_ = there.Close()
}

func TestConnRefusesImpossibleLengths(t *testing.T) {
	for _, m := range [][]byte{{'d', 0, 0, 0, 3}, {'d', 0xff, 0xff, 0xff, 0xff}, {'Z', 0, 0, 0, 0}} {
		c := &conn{Conn: &pieces{b: m, rnd: rand.New(rand.NewPCG(1, 1)), max: 10}}
		c.out.Store(&copyOut{w: io.Discard})
		if _, err := io.ReadAll(c); err == nil && m[4] < 4 {
			t.Errorf("%v is taken", m)
		}
	}
}

// TestCopyTo reads rows of all lengths from a server, with and without an error in the middle.
func TestCopyTo(t *testing.T) {
	s := session(t)
	ctx := t.Context()
	for _, n := range []int{0, 1, 10, 100_000} {
		var b bytes.Buffer
		tag, err := s.CopyTo(ctx, &b, fmt.Sprintf("COPY (SELECT g, repeat('x', g %% 300) FROM generate_series(1, %d) g) TO STDOUT", n))
		if err != nil || tag.RowsAffected() != int64(n) || bytes.Count(b.Bytes(), []byte("\n")) != n {
			t.Errorf("%d rows: %v, %d by the server's count, %d lines", n, err, tag.RowsAffected(), bytes.Count(b.Bytes(), []byte("\n")))
		}
	}
	var big bytes.Buffer
	if _, err := s.CopyTo(ctx, &big, "COPY (SELECT repeat('y', 10000000)) TO STDOUT"); err != nil || big.Len() != 10_000_001 {
		t.Errorf("a row of 10 MB: %d bytes, %v", big.Len(), err)
	}
	var b bytes.Buffer
	if _, err := s.CopyTo(ctx, &b, "COPY (SELECT 1 / (50000 - g) FROM generate_series(1, 100000) g) TO STDOUT"); Code(err) != "22012" {
		t.Errorf("an error among the rows: %v", err)
	}
	// The session is as good as before.
	if row, err := s.Row(ctx, "SELECT 42"); err != nil || row[0] != "42" {
		t.Errorf("after an error: %v %v", row, err)
	}
	full := errors.New("no room")
	if _, err := s.CopyTo(ctx, failing{full}, "COPY (SELECT g FROM generate_series(1, 100000) g) TO STDOUT"); !errors.Is(err, full) || !s.IsClosed() {
		t.Errorf("a writer that fails: %v, the session is closed: %t", err, s.IsClosed())
	}
	s = session(t)
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := s.CopyTo(short, io.Discard, "COPY (SELECT g, pg_sleep(0.01) FROM generate_series(1, 100000) g) TO STDOUT"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a COPY that is cancelled: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestMain(m *testing.M) { testbed.Main(m) }

func session(t *testing.T) *Session {
	t.Helper()
	p := testbed.Shared(t, 0)
	s, err := Connect(t.Context(), mustParse(t, p.URL(testbed.Database(t, p))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.End)
	return s
}

// TestOwnOnly: a session for reading expands no view of a user's, so that what was a table when it was listed runs
// nothing when it is read.
func TestOwnOnly(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, "CREATE VIEW public.swapped AS SELECT 1 AS last_value, true AS is_called")
	for _, own := range []bool{false, true} {
		s, err := Connect(t.Context(), mustParse(t, p.URL(db)), Options{OwnOnly: own, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		row, err := s.Row(t.Context(), "SELECT pg_catalog.current_setting('restrict_nonsystem_relation_kind', true)")
		if err != nil || row[0] == "" && own {
			t.Fatalf("the server of the tests does not know the setting: %v %v", row, err)
		}
		if _, err = s.Row(t.Context(), "SELECT last_value, is_called FROM public.swapped"); (err != nil) != own {
			t.Errorf("a view of a user's, own only %t: %v", own, err)
		}
		if _, err = s.Row(t.Context(), "SELECT pid FROM pg_catalog.pg_stat_activity"); err != nil {
			t.Errorf("the system's views: %v", err)
		}
		s.End()
	}
}
