package pgtarget

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// pooled is a session that loads and builds, or room for one.
type pooled struct {
	*pgsession.Session // nil until first used
	last               time.Time
	dead               pgsession.Backend // of a session that was lost
}

// with runs f on a session; one whose connection or transaction broke is put in order.
func (t *Target) with(ctx context.Context, f func(*pgsession.Session) error) error {
	var p *pooled
	select {
	case p = <-t.sessions:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() {
		p.last = time.Now()
		t.sessions <- p
	}()
	if err := t.ready(ctx, p); err != nil {
		return err
	}
	s := p.Session
	err := f(s)
	if err != nil && !s.IsClosed() && s.TxStatus() != 'I' {
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = s.Do(rctx, "ROLLBACK") // where that fails the session is closed
	}
	return err
}

// ready sees to it that p has a session.
func (t *Target) ready(ctx context.Context, p *pooled) error {
	if p.Session != nil && time.Since(p.last) > pgsession.Rested {
		p.Alive(ctx) // what was cut meanwhile is closed then
	}
	if p.Session != nil {
		if !p.IsClosed() {
			return nil
		}
		p.dead, p.Session = p.Backend, nil
	}
	if err := t.rejoin(ctx); err != nil {
		return err
	}
	s, err := t.session(ctx, t.source.Encoding)
	if err != nil {
		return err
	}
	// It may still be in a transaction, and hold what the next try needs.
	if err := s.Bury(ctx, p.dead); err != nil && s.IsClosed() {
		return pgsession.Explain(err, t.conn.Name())
	}
	p.Session, p.dead = s, pgsession.Backend{}
	return nil
}

// reconnect opens the control session anew where it was lost.
func (t *Target) reconnect(ctx context.Context) error {
	if t.control.Alive(ctx) {
		return nil
	}
	encoding := "UTF8"
	if t.source.Encoding != "" {
		encoding = t.source.Encoding
	}
	c, err := t.session(ctx, encoding)
	if err != nil {
		return err
	}
	_ = c.Bury(ctx, t.control.Backend) // it has the lock until the server knows
	t.control.End()
	t.control = c
	return nil
}

// rejoin takes the lock again where it died with its session, and makes sure that the run is still ours and
// that the server has kept all that it said it had.
func (t *Target) rejoin(ctx context.Context) error {
	t.controlMu.Lock()
	defer t.controlMu.Unlock()
	if t.control.Alive(ctx) {
		return nil
	}
	if err := t.reconnect(ctx); err != nil {
		return err
	}
	if err := t.rejoined(ctx); err != nil {
		t.control.End() // whoever comes next asks again
		return err
	}
	return nil
}

func (t *Target) rejoined(ctx context.Context) error {
	if err := t.hold(ctx); err != nil || !t.ledger {
		return err
	}
	row, err := t.control.Row(ctx, fmt.Sprintf("SELECT 1 FROM pgmove.run WHERE run = %s AND epoch = %d", pgsession.Literal(t.run), t.epoch))
	if pgsession.Code(err) == "42P01" || pgsession.Code(err) == "3F000" {
		return stream.LostLedger(t.conn.Name())
	}
	if err != nil {
		return pgsession.Explain(err, "the ledger")
	}
	if row == nil {
		return takenOver()
	}
	// Its commits don't wait for the disk.
	found, verdict := t.mine.Seek(t.conn.Name())
	rows, err := t.control.Rows(ctx, "SELECT id, part FROM pgmove.taken")
	if err != nil {
		return pgsession.Explain(err, "the ledger")
	}
	for _, r := range rows {
		id, _ := strconv.ParseInt(r[0], 10, 32)
		part, _ := strconv.Atoi(r[1])
		found(stream.Part{Table: stream.DumpID(id), N: part})
	}
	if err := verdict(); err != nil {
		return err
	}
	return t.uncrashed(ctx)
}

func takenOver() error {
	return stream.Fail(stream.Busy, "another pgmove has taken over the target").WithHint("let that one finish")
}

// Close closes all sessions.
func (t *Target) Close() {
	var wg sync.WaitGroup
	for range cap(t.sessions) {
		if p := <-t.sessions; p.Session != nil {
			wg.Go(p.End)
		}
	}
	wg.Go(t.control.End)
	wg.Wait()
}
