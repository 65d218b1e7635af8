package pgtarget

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// packed is a value as an SQL literal of type bytea: in JSON, which may be in any encoding.
func packed(v any) string {
	b, _ := json.Marshal(v) // of the ledger's types it can't fail
	return `'\x` + hex.EncodeToString(b) + `'::pg_catalog.bytea`
}

// left is what an earlier process left in the ledger.
type left struct {
	stream.Prior
	taken stream.Taken
	done  bool // the run has ended, and its ledger was kept
}

// readLedger returns what the ledger holds, nil where there is none. The caller holds the lock.
func (t *Target) readLedger(ctx context.Context) (*left, error) {
	c := t.control
	row, err := c.Row(ctx, "SELECT pg_catalog.to_regclass('pgmove.run') IS NOT NULL")
	if err != nil {
		return nil, pgsession.Explain(err, "the ledger")
	}
	if row[0] != "t" {
		return nil, nil
	}
	unreadable := func(err error) error {
		return (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(), Msg: "its ledger cannot be read: another version of pgmove may have made it", Err: err}).
			WithHint("drop and create the database, then start afresh")
	}
	if row, err = c.Row(ctx, "SELECT run, epoch, header, prints, plan FROM pgmove.run"); err != nil {
		if pgsession.Lost(err) {
			return nil, pgsession.Explain(err, "the ledger")
		}
		return nil, unreadable(err)
	}
	if row == nil {
		return nil, unreadable(nil)
	}
	l := &left{taken: stream.Taken{Entries: map[stream.DumpID]bool{}, Early: map[stream.DumpID]bool{}, Chunks: map[stream.Part]stream.Digest{}}}
	for i, v := range []any{&l.Header, &l.Prints, &l.Plan} {
		b, err := hex.DecodeString(strings.TrimPrefix(row[2+i], `\x`))
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			return nil, unreadable(err)
		}
	}
	if l.Header.Run != row[0] {
		return nil, unreadable(nil)
	}
	t.epoch, _ = strconv.ParseInt(row[1], 10, 64)
	rows, err := c.Rows(ctx, "SELECT id, part, digest FROM pgmove.taken")
	if err != nil {
		return nil, pgsession.Explain(err, "the ledger")
	}
	for _, r := range rows {
		id, err1 := strconv.ParseInt(r[0], 10, 32)
		part, err2 := strconv.Atoi(r[1])
		if err1 != nil || err2 != nil {
			return nil, unreadable(err2)
		}
		switch part {
		case entryPart:
			l.taken.Entries[stream.DumpID(id)] = true
			continue
		case donePart:
			l.done = true
			continue
		case earlyPart:
			l.taken.Early[stream.DumpID(id)] = true
			continue
		}
		var d stream.Digest
		if err := d.UnmarshalText([]byte(r[2])); err != nil {
			return nil, unreadable(err)
		}
		l.taken.Chunks[stream.Part{Table: stream.DumpID(id), N: part}] = d
	}
	l.Records = l.taken.Records(l.Plan)
	return l, nil
}

// How long the lock is waited for: the server takes a moment to notice that a process has ended, and longer that
// it was killed.
const (
	lockPatience   = time.Second
	resumePatience = 5 * time.Second
)

// tryLock tries to take the lock that keeps other runs off; the row says whether it did.
func (t *Target) tryLock(ctx context.Context) ([]string, error) {
	patience := lockPatience
	if t.opts.Resume {
		patience = resumePatience
	}
	for begun := time.Now(); ; {
		row, err := t.control.Row(ctx, "SELECT pg_catalog.pg_try_advisory_lock(hashtext('pgmove'), hashtext('ledger'))")
		if err != nil || row[0] == "t" || time.Since(begun) > patience {
			return row, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fence keeps the process that wrote the ledger, if a session of it still goes on, from writing any
// more, and returns what the ledger then holds; nil where there is none. It leaves a transaction open.
func (t *Target) fence(ctx context.Context) (*left, error) {
	if l, err := t.readLedger(ctx); l == nil {
		return nil, err
	}
	if err := t.uncrashed(ctx); err != nil {
		return nil, err
	}
	// What holds the row FOR SHARE commits or fails before this goes on; what comes to it later fails.
	if err := t.control.Do(ctx, "BEGIN; "+durable+"UPDATE pgmove.run SET epoch = epoch + 1"); err != nil {
		return nil, pgsession.Explain(err, "the ledger")
	}
	return t.readLedger(ctx)
}

// Left returns what an earlier process of a run left on the target, nil where there is no ledger. It
// takes the lock that keeps other runs off, and fences off that process.
func (t *Target) Left(ctx context.Context) (*stream.Prior, error) {
	if err := t.hold(ctx); err != nil {
		return nil, err
	}
	l, err := t.fence(ctx)
	if err == nil && l != nil {
		err = pgsession.Explain(t.control.Do(ctx, "COMMIT"), "the ledger")
	}
	if err != nil || l == nil {
		t.rollback(ctx)
		return nil, err
	}
	return &l.Prior, nil
}

// rollback leaves the control session's transaction, if it is in one.
func (t *Target) rollback(ctx context.Context) {
	if !t.control.IsClosed() && t.control.TxStatus() != 'I' {
		_ = t.control.Do(context.WithoutCancel(ctx), "ROLLBACK")
	}
}

// Taken returns what the target took before this process; see restore.Resumer.
func (t *Target) Taken() stream.Taken { return t.taken }

// takeOver goes on with a ledger, if there is one. In one transaction it fences off the process that
// wrote it, and puts back what comes again under another snapshot.
func (t *Target) takeOver(ctx context.Context, h *stream.Header, entries []stream.Entry) (bool, error) {
	defer t.rollback(ctx)
	l, err := t.fence(ctx)
	if err != nil || l == nil {
		return false, err
	}
	again, err := t.goesOn(l, h, entries)
	if err != nil {
		return false, err
	}
	if l.done && len(again) > 0 {
		if t.opts.Clean {
			return false, nil
		}
		// What came since is the target's own.
		return false, (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "it holds a move that has ended, and the source has changed since"}).
			WithHint("compare them with pgmove validate; to move again, empty the target or give --clean")
	}
	t.taken, t.ledger = l.taken, true
	defer func() {
		for p := range t.taken.Chunks { // what was put back is no longer among them
			t.arrived(p.Table)
		}
	}()
	sql := fmt.Sprintf("UPDATE pgmove.run SET run = %s, snapshot = %s, header = %s, prints = %s;\n", pgsession.Literal(h.Run),
		pgsession.Literal(h.Source.Snapshot), packed(h), packed(stream.Prints(entries)))
	if l.Header.Run != h.Run && !l.done {
		undo, err := t.putBack(ctx, entries, again)
		if err != nil {
			return false, err
		}
		sql += undo
	}
	fault.Point("ledger.resume:before")
	if err := t.control.Do(ctx, sql+"COMMIT"); err != nil {
		if pgsession.Lost(err) {
			return false, pgsession.Explain(err, t.conn.Name())
		}
		return false, (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(), Msg: "what must be loaded again could not be put back",
			Err: pgsession.Explain(err, "the ledger")}).WithHint("drop and create the database, then start afresh")
	}
	fault.Point("ledger.resume:after")
	return true, nil
}

// goesOn returns what comes again where the archive goes on from the ledger's run, else why it can't.
func (t *Target) goesOn(l *left, h *stream.Header, entries []stream.Entry) ([]stream.DumpID, error) {
	again, ok := h.Since(l.Header.Run)
	switch {
	case !ok:
		return nil, (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(),
			Msg: fmt.Sprintf("what it holds is of another run (%s) than what is to be restored (%s)", stream.Text(l.Header.Run).Display(), stream.Text(h.Run).Display())}).
			WithHint("give the source and the archive that the run began with; else drop and create the database, and start afresh")
	case l.Header.Live != h.Live:
		return nil, (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(), Msg: "the run began with another --via"}).
			WithHint("give --via as it was given at first; else drop and create the database, and start afresh")
	}
	if err := h.Source.Selection.Same(&l.Header.Source.Selection); err != nil {
		return nil, err
	}
	return again, stream.SameSchema(l.Prints, stream.Prints(entries))
}

// commit ends a transaction with sql, which writes the ledger row of the part. Where the connection dies
// before the answer, the ledger knows whether the transaction was committed.
func (t *Target) commit(ctx context.Context, s *pgsession.Session, part stream.Part, sql string) error {
	point := "ledger.chunk"
	if part.N < 0 {
		point = "ledger.exec"
	}
	fault.Point(point + ":before")
	err := s.Do(ctx, sql)
	if err == nil {
		t.mine.Note(part)
		fault.Point(point + ":after")
		return nil
	}
	if ctx.Err() != nil || !pgsession.Lost(err) {
		return err
	}
	for failed := 1; ; failed++ {
		is, aerr := t.isTaken(ctx, s.Backend, part)
		if aerr == nil && is {
			t.mine.Note(part)
			return nil
		}
		if aerr == nil {
			return err
		}
		if !t.opts.Retry.Again(ctx, failed, aerr) {
			// Without the answer nobody may do it again.
			return stream.Last(errors.Join(pgsession.Explain(err, t.conn.Name()), aerr))
		}
	}
}

// isTaken asks the ledger for a part whose transaction is in doubt, after it has ended the backend that was at it.
func (t *Target) isTaken(ctx context.Context, b pgsession.Backend, part stream.Part) (bool, error) {
	s, err := t.session(ctx, "UTF8")
	if err != nil {
		return false, err
	}
	defer s.End()
	if err := s.Bury(ctx, b); err != nil {
		return false, pgsession.Explain(err, t.conn.Name()) // while it lives no answer is the last
	}
	// The insert waits for the transaction in doubt, if that still goes on. It is taken back at once, whether the answer arrives or not:
	// an open transaction of a session that is lost would have the next question wait for it.
	row, err := s.Row(ctx, fmt.Sprintf("BEGIN; INSERT INTO pgmove.taken (id, part) VALUES (%d, %d) ON CONFLICT DO NOTHING RETURNING id; ROLLBACK", part.Table, part.N))
	if err != nil {
		return false, pgsession.Explain(err, "the ledger")
	}
	return row == nil, nil // without a row to return it was there
}
