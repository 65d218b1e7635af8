package mytarget

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Of what breaks off nothing may go on when it is done again. So a session that was lost is buried before that: the server says that
// it is gone. A process that takes a run over finds the sessions of the one before by their locks.

// pooled is a session that loads and builds, or room for one.
type pooled struct {
	*mysession.Session     // nil until first used
	n                  int // its number among them
	last               time.Time
	idle               mysession.Backend // of a session that was lost while it had nothing to do
}

// maxSessions bounds the sessions of a process, and generations how many of one number the server may still be ending.
const (
	maxSessions = 520
	generations = 4
)

// sessionLock names the lock of the run's n-th session. Locks are the whole server's, and an archive may be restored to several of its
// databases at a time. Some servers know a database by its name in capitals too.
func (t *Target) sessionLock(run string, n int) string {
	sum := sha256.Sum256([]byte(run + "\x00" + strings.ToLower(t.conn.Database())))
	return fmt.Sprintf("pgmove %s %d", hex.EncodeToString(sum[:16]), n)
}

// endOld ends what earlier processes of a run still have the server do.
func (t *Target) endOld(ctx context.Context, run string) error {
	names := make([]string, maxSessions*generations)
	for n := range names {
		names[n] = t.sessionLock(run, n)
	}
	return t.control.BuryAll(ctx, names)
}

// with runs f, which does a part, on a session. One that failed is ended, and what it had not committed with it.
func (t *Target) with(ctx context.Context, part stream.Part, f func(*mysession.Session) error) error {
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
	if err := t.ready(ctx, p, part); err != nil {
		return err
	}
	err := f(p.Session)
	if err != nil {
		t.giveUp(ctx, p, part)
	}
	return err
}

// ready sees to it that p has a session, that the run is still ours, and that nothing goes on of an earlier try of the part.
func (t *Target) ready(ctx context.Context, p *pooled, part stream.Part) error {
	if p.Session != nil && (!p.Lives() || time.Since(p.last) > mysession.Rested && !p.Alive(ctx)) {
		p.End()
		p.idle, p.Session = p.Backend, nil
	}
	if err := t.rejoin(ctx, p.Session == nil); err != nil {
		return err
	}
	if p.Session == nil {
		s, err := t.numbered(ctx, p.n)
		if err != nil {
			return err
		}
		p.Session = s
	}
	t.deadMu.Lock()
	dead := t.dead[part]
	t.deadMu.Unlock()
	for _, b := range []mysession.Backend{p.idle, dead} {
		if err := p.Bury(ctx, b); err != nil {
			return mysession.Explain(err, t.conn.Name())
		}
	}
	p.idle = mysession.Backend{}
	t.deadMu.Lock()
	delete(t.dead, part)
	t.deadMu.Unlock()
	return nil
}

// numbered opens the run's n-th session.
func (t *Target) numbered(ctx context.Context, n int) (*mysession.Session, error) {
	s, err := t.session(ctx)
	if err != nil {
		return nil, err
	}
	for g := range generations {
		is, err := s.Claim(ctx, t.sessionLock(t.run, n+g*maxSessions))
		if is {
			return s, nil
		}
		if err != nil {
			s.End()
			return nil, mysession.Explain(err, t.conn.Name())
		}
	}
	s.End()
	return nil, (&stream.Failure{Kind: stream.Outage, Object: t.conn.Name(), Msg: "the server has not yet ended sessions whose connections are lost"}).
		WithHint("wait until SHOW PROCESSLIST shows them no more, then run again with --resume")
}

// giveUp ends a session on which a part failed. Unless it could still be told to undo that, who tries it again buries it first.
func (t *Target) giveUp(ctx context.Context, p *pooled, part stream.Part) {
	s := p.Session
	p.Session = nil
	defer s.End()
	if s.Lives() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if s.Do(ctx, "ROLLBACK") == nil {
			return
		}
	}
	t.deadMu.Lock()
	t.dead[part] = s.Backend
	t.deadMu.Unlock()
}

// rejoin takes the lock again where it died with its session, and makes sure that the run is still ours and
// that the server has kept all that it said it had. Unless sure, a session that was tried out a moment ago is believed to live.
func (t *Target) rejoin(ctx context.Context, sure bool) (err error) {
	asked := time.Now()
	t.controlMu.Lock()
	defer t.controlMu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.notJoined != nil && t.notJoinedAt.After(asked) {
		return t.notJoined // who waited here need not wait for the server one after the other
	}
	begun := time.Now()
	defer func() { t.notJoined, t.notJoinedAt = err, begun }()
	if t.control.Lives() && !sure && time.Since(t.joined) < mysession.Rested {
		return nil
	}
	if !t.control.Alive(ctx) {
		if err := t.reconnect(ctx); err != nil {
			return err
		}
		if err := t.rejoined(ctx); err != nil {
			t.control.End() // whoever comes next asks again
			return err
		}
	}
	t.joined = time.Now()
	return nil
}

// reconnect opens the control session anew.
func (t *Target) reconnect(ctx context.Context) error {
	c, err := t.session(ctx)
	if err != nil {
		return err
	}
	if err := c.Bury(ctx, t.control.Backend); err != nil { // it has the lock until the server knows
		c.End()
		return mysession.Explain(err, t.conn.Name())
	}
	t.control.End()
	t.control = c
	return nil
}

func (t *Target) rejoined(ctx context.Context) error {
	if err := t.hold(ctx); err != nil || !t.ledger {
		return err
	}
	if err := t.mine(ctx, t.control); err != nil {
		return t.explainLedger(err)
	}
	found, verdict := t.committed.Seek(t.conn.Name())
	rows, err := t.control.Rows(ctx, "SELECT id, part FROM "+takenTable)
	if err != nil {
		return t.explainLedger(err)
	}
	for _, r := range rows {
		id, _ := strconv.ParseInt(r[0], 10, 32)
		n, _ := strconv.Atoi(r[1])
		found(stream.Part{Table: stream.DumpID(id), N: n})
	}
	if err := verdict(); err != nil {
		return err
	}
	return t.emptied(ctx)
}

// emptied makes sure that the server did not start anew since rows were loaded that it loses then: those of MEMORY tables.
func (t *Target) emptied(ctx context.Context) error {
	rows, err := t.control.Rows(ctx, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND ENGINE = 'MEMORY'")
	if err != nil || len(rows) == 0 {
		return mysession.Explain(err, "the ledger")
	}
	fleeting := map[string]bool{}
	for _, r := range rows {
		fleeting[r[0]] = true
	}
	for id, e := range t.byID {
		if e.Table == nil || !fleeting[string(e.Table.Name)] {
			continue
		}
		row, err := t.control.Row(ctx, fmt.Sprintf("SELECT COALESCE(SUM(n), 0) > 0 AND NOT EXISTS (SELECT 1 FROM %s) FROM %s WHERE part >= 0 AND id = %d",
			mysession.Ident(string(e.Table.Name)), takenTable, id))
		if err != nil {
			return mysession.Explain(err, "the ledger")
		}
		if row[0] == "1" {
			return (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(), Msg: "the server started anew, and its MEMORY table " + e.Name() + " is empty since"}).
				WithHint("drop and create the database, then start afresh")
		}
	}
	return nil
}

// explainLedger says what it means that the ledger can't be asked.
func (t *Target) explainLedger(err error) error {
	if mysession.Code(err) == mysession.ErrNoSuchTable {
		return stream.LostLedger(t.conn.Name())
	}
	return mysession.Explain(err, "the ledger")
}

// Close closes all sessions. Of lost ones the server is told, where it can be.
func (t *Target) Close() {
	var wg sync.WaitGroup
	for range cap(t.sessions) {
		if p := <-t.sessions; p.Session != nil {
			wg.Go(p.End)
		}
	}
	wg.Wait()
	t.buryDead()
	t.control.End()
}

// buryDead has the server end what lost sessions are at. What still goes on after some seconds, a resumed run ends.
func (t *Target) buryDead() {
	if len(t.dead) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if !t.control.Alive(ctx) {
		c, err := mysession.Connect(ctx, t.conn, mysession.Options{Role: mysession.Load})
		if err != nil {
			return
		}
		defer c.End()
		t.control = c
	}
	for _, b := range t.dead {
		if t.control.Bury(ctx, b) != nil {
			return
		}
	}
}
