package mysource

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// blockSize is the size, in bytes, of the blocks that rows are handed on in. A larger row makes a larger block.
const blockSize = 256 << 10

// killTimeout bounds the end of a statement that is given up.
const killTimeout = 5 * time.Second

// CopyTo writes a chunk's rows as the snapshot holds them. Whoever compares names the columns of the other side.
func (s *Source) CopyTo(ctx context.Context, e *stream.Entry, c stream.Chunk, w io.Writer) error {
	if c.Format != stream.FormatText {
		return stream.Fail(stream.Integrity, "%s: rows in format %q are none of this engine", e.Name(), c.Format)
	}
	sql, err := s.copyQuery(e.Table, string(c.Range))
	if err != nil {
		return err
	}
	out := &rowWriter{w: s.opts.Throttle.Writer(ctx, w), buf: make([]byte, 0, blockSize+blockSize/4)}
	read := func(wk *worker) error {
		if err := wk.copyOut(ctx, sql, out); out.err == nil {
			return err
		}
		return nil // the writer's error may be that a connection of the target's was lost: that is none of this session's
	}
	err = s.with(ctx, read)
	for stream.KindOf(err) == stream.Failed && mysession.Lost(err) && out.begun == 0 && ctx.Err() == nil {
		// Nothing was handed on: another session holds the same snapshot.
		out.buf = out.buf[:0]
		err = s.with(ctx, read)
	}
	if out.err != nil {
		return out.err
	}
	if err == nil && ctx.Err() != nil {
		return context.Cause(ctx) // what is cancelled counts as cancelled, also at its very end
	}
	if stream.KindOf(err) == stream.Failed && mysession.Lost(err) {
		if lost := s.check(); lost != nil {
			return lost
		}
		// The chunk is begun, and may come again from another session, which holds the same snapshot.
		return mysession.Explain(err, e.Name())
	}
	if mysession.Code(err) == mysession.ErrTableChanged {
		return (&stream.Failure{Kind: stream.NotResumable, Object: e.Name(), Msg: "its definition was changed since the snapshot", Err: err}).
			WithHint("start again")
	}
	return mysession.Explain(err, e.Name())
}

// copyQuery reads a table's rows, or a range of them.
func (s *Source) copyQuery(t *stream.Table, cond string) (string, error) {
	r := s.rels[string(t.Name)]
	if r == nil {
		return "", stream.Fail(stream.Mismatch, "there is no table %s", t.Name.Display())
	}
	exprs := make([]string, 0, len(t.Columns))
	for _, name := range t.Columns {
		c := r.column(string(name))
		if c == nil {
			return "", stream.Fail(stream.Mismatch, "table %s has no column %s", t.Name.Display(), name.Display())
		}
		exprs = append(exprs, c.expression())
	}
	if len(exprs) == 0 {
		exprs = append(exprs, "''") // all columns are generated
	}
	sql := "SELECT " + strings.Join(exprs, ", ") + " FROM " + r.from()
	if cond != "" {
		sql += " WHERE " + cond
	}
	return sql, nil
}

// copyOut runs the query and writes its rows. Whatever ends it early, the session and its snapshot live on.
func (w *worker) copyOut(ctx context.Context, sql string, out *rowWriter) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// The driver would close the connection of a context that ends, and with it the snapshot.
	calm := context.WithoutCancel(ctx)
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(killed); w.kill() })
	defer func() {
		if !stop() {
			<-killed
			w.calmDown(calm)
			err = context.Cause(ctx)
		}
	}()
	rows, err := w.sess.Query(calm, sql)
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(rows.Columns()))
	for {
		if err = rows.Next(values); err != nil {
			break
		}
		if out.row(values); out.err != nil {
			w.giveUp(calm, rows, values)
			return out.err
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	out.flush()
	return out.err
}

// giveUp ends a query whose rows nobody takes.
func (w *worker) giveUp(ctx context.Context, rows driver.Rows, values []driver.Value) {
	w.kill()
	for rows.Next(values) == nil {
		// What was sent before is read, and dropped.
	}
	w.calmDown(ctx)
}

// kill has the server end what the worker's session runs; where that can't be done, it ends the session.
func (w *worker) kill() {
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	if err := w.sess.Kill(ctx); err != nil {
		w.sess.Cut()
	}
}

// calmDown takes up a KILL that came after what it was meant for.
func (w *worker) calmDown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	_ = w.sess.Do(ctx, "DO 0")
}

// rowWriter writes rows as LOAD DATA reads them; see mysession.LoadStmt.
type rowWriter struct {
	w     io.Writer
	buf   []byte
	begun int64 // bytes handed on
	err   error // the writer's
}

func (o *rowWriter) row(values []driver.Value) {
	b := o.buf
	for i, v := range values {
		if i > 0 {
			b = append(b, '\t')
		}
		switch v := v.(type) {
		case nil:
			b = append(b, '\\', 'N')
		case []byte:
			b = appendEscaped(b, v)
		default:
			b = mysession.AppendValue(b, v)
		}
	}
	o.buf = append(b, '\n')
	if len(o.buf) >= blockSize {
		o.flush()
	}
}

func (o *rowWriter) flush() {
	if o.err != nil || len(o.buf) == 0 {
		return
	}
	var n int
	n, o.err = o.w.Write(o.buf)
	o.begun += int64(n)
	o.buf = o.buf[:0]
	if cap(o.buf) > 16*blockSize {
		o.buf = make([]byte, 0, blockSize+blockSize/4) // after a very large row
	}
}

// special are the bytes that a backslash stands before, and what follows it then.
var special = [256]byte{'\t': 't', '\n': 'n', '\\': '\\'}

func appendEscaped(b, v []byte) []byte {
	from := 0
	for i, c := range v {
		if e := special[c]; e != 0 {
			b = append(b, v[from:i]...)
			b = append(b, '\\', e)
			from = i + 1
		}
	}
	return append(b, v[from:]...)
}

// Count counts a table's rows on the server.
func (s *Source) Count(ctx context.Context, e *stream.Entry) (int64, error) {
	r := s.rels[string(e.Table.Name)]
	if r == nil {
		return 0, stream.Fail(stream.Mismatch, "there is no table %s", e.Name())
	}
	var n int64
	err := s.with(ctx, func(w *worker) error {
		row, err := w.sess.Row(ctx, "SELECT COUNT(*) FROM "+r.from())
		if err == nil {
			n = number(row[0])
		}
		return err
	})
	return n, mysession.Explain(err, e.Name())
}
