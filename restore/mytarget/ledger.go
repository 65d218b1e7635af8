package mytarget

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// The ledger says what the target has taken. A chunk's row commits with the chunk. An entry's is written after its
// definition, which commits by itself: what the ledger doesn't list may be there all the same, and is
// looked at before it is made.
//
// The table of the run has one row; its epoch fences off an older process of the same run that
// still has a transaction open.
const (
	runTable   = mysession.LedgerTable + "_run"
	takenTable = mysession.LedgerTable + "_taken"
	factTable  = mysession.LedgerTable + "_facts"
)

// entryPart is the ledger's part number of entries; chunks count from 0. analyzePart is of none that the ledger has.
const (
	entryPart   = -1
	analyzePart = -9
)

const errDuplicate = 1062 // ER_DUP_ENTRY

// hold takes the lock that keeps a second run off the target. It is the control session's, and goes with it: a
// server takes a moment to notice that a process has ended, and longer that it was killed.
func (t *Target) hold(ctx context.Context) error {
	patience := 1
	if t.opts.Resume {
		patience = 5
	}
	row, err := t.control.Row(ctx, fmt.Sprintf("SELECT GET_LOCK(%s, %d)", mysession.Literal(t.lockName()), patience))
	if err != nil {
		return mysession.Explain(err, t.conn.Name())
	}
	if row[0] != "1" {
		return t.busy()
	}
	return nil
}

func (t *Target) busy() error {
	return (&stream.Failure{Kind: stream.Busy, Object: t.conn.Name(), Msg: "another pgmove is restoring to it"}).
		WithHint("wait until that one has ended, or end it")
}

// lockName is the lock's name: locks are the server's, and their names short.
func (t *Target) lockName() string {
	sum := sha256.Sum256([]byte(t.conn.Database()))
	return "pgmove ledger " + hex.EncodeToString(sum[:16])
}

// makeLedger creates the ledger. It is the first change to the target.
func (t *Target) makeLedger(ctx context.Context, h *stream.Header, entries []stream.Entry, plan []stream.Chunk) error {
	t.epoch = 1
	lit := mysession.Literal
	if !h.Live {
		plan = nil // the archive keeps it
	}
	options := ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT=" + lit(mysession.LedgerComment+" of run "+h.Run)
	fault.Point("ledger.prepare:before")
	for _, q := range []string{
		"CREATE TABLE " + factTable + " (name varchar(20) CHARACTER SET ascii NOT NULL, n int NOT NULL, piece mediumblob NOT NULL, PRIMARY KEY (name, n)" + options,
		"CREATE TABLE " + takenTable + " (id int NOT NULL, part int NOT NULL, n bigint, digest varchar(64) CHARACTER SET ascii, at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id, part)" + options,
		"CREATE TABLE " + runTable + " (run varchar(64) CHARACTER SET ascii NOT NULL PRIMARY KEY, epoch bigint NOT NULL, source_system varchar(64), source_database varchar(255), snapshot text, tool varchar(64), started timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP" + options,
	} {
		if err := t.control.Do(ctx, q); err != nil {
			return mysession.Explain(err, "the ledger on "+t.conn.Name())
		}
		t.ledger = true
	}
	err := t.inTransaction(ctx, func() error {
		if err := t.control.Do(ctx, fmt.Sprintf("INSERT INTO %s (run, epoch, source_system, source_database, snapshot, tool) VALUES (%s, %d, %s, %s, %s, %s)", runTable,
			lit(h.Run), t.epoch, lit(h.Source.SystemID), lit(string(h.Source.Database)), lit(h.Source.Snapshot), lit(h.Tool))); err != nil {
			return err
		}
		facts := map[string]any{"header": h, "prints": stream.Prints(entries), "plan": plan}
		if len(t.drops) > 0 {
			facts[cleanFact] = t.drops
		}
		return t.putFacts(ctx, facts)
	})
	if err == nil {
		fault.Point("ledger.prepare:after")
	}
	return mysession.Explain(err, "the ledger on "+t.conn.Name())
}

// inTransaction runs f in a transaction of the control session.
func (t *Target) inTransaction(ctx context.Context, f func() error) error {
	err := t.control.Do(ctx, "START TRANSACTION")
	if err == nil {
		err = f()
	}
	if err == nil {
		return t.control.Do(ctx, "COMMIT")
	}
	if t.control.Lives() {
		_ = t.control.Do(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// pieceSize is the size, in bytes, of the pieces that the ledger's facts are kept in: servers bound what a statement may hold.
const pieceSize = 1 << 20

// putFacts writes facts about the run in place of those that are there.
func (t *Target) putFacts(ctx context.Context, facts map[string]any) error {
	for name, v := range facts {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := t.control.Do(ctx, "DELETE FROM "+factTable+" WHERE name = "+mysession.Literal(name)); err != nil {
			return err
		}
		for n := 0; n == 0 || len(b) > 0; n++ {
			k := min(len(b), pieceSize)
			if err := t.control.Do(ctx, fmt.Sprintf("INSERT INTO %s (name, n, piece) VALUES (%s, %d, %s)", factTable, mysession.Literal(name), n, mysession.Bytes(string(b[:k])))); err != nil {
				return err
			}
			b = b[k:]
		}
	}
	return nil
}

// fact reads one of them.
func (t *Target) fact(ctx context.Context, name string, v any) error {
	rows, err := t.control.Rows(ctx, "SELECT piece FROM "+factTable+" WHERE name = "+mysession.Literal(name)+" ORDER BY n")
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r[0])
	}
	return json.Unmarshal([]byte(b.String()), v)
}

// mine reports whether the run is still this process's.
func (t *Target) mine(ctx context.Context, s *mysession.Session) error {
	rows, err := s.Rows(ctx, fmt.Sprintf("SELECT 1 FROM %s WHERE run = %s AND epoch = %d", runTable, mysession.Literal(t.run), t.epoch))
	if err == nil && len(rows) == 0 {
		err = fenced()
	}
	return err
}

// take writes a ledger row, unless another process has taken the run over: the run's row stays locked until the
// transaction ends, so that such a process waits for those of ours that are past this.
func (t *Target) take(ctx context.Context, s *mysession.Session, id stream.DumpID, part int, values string) error {
	n, err := s.Exec(ctx, fmt.Sprintf("INSERT INTO %s (id, part, n, digest) SELECT %d, %d, %s FROM %s WHERE run = %s AND epoch = %d LOCK IN SHARE MODE",
		takenTable, id, part, values, runTable, mysession.Literal(t.run), t.epoch))
	switch {
	case mysession.Code(err) == errDuplicate:
		return stream.Fail(stream.Failed, "the ledger has it already")
	case err != nil:
		return err
	case n != 1:
		return fenced()
	}
	return nil
}

// has reports whether the ledger lists a part. It waits for a transaction that is writing it.
func (t *Target) has(ctx context.Context, s *mysession.Session, id stream.DumpID, part int) (bool, error) {
	rows, err := s.Rows(ctx, fmt.Sprintf("SELECT 1 FROM %s WHERE id = %d AND part = %d LOCK IN SHARE MODE", takenTable, id, part))
	return len(rows) > 0, err
}

// commit commits a chunk. Where the answer doesn't come, or is an error, the ledger knows whether the transaction
// was committed.
func (t *Target) commit(ctx context.Context, s *mysession.Session, part stream.Part) error {
	fault.Point("ledger.chunk:before")
	err := s.Do(ctx, "COMMIT")
	if err == nil {
		t.committed.Note(part)
		fault.Point("ledger.chunk:after")
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	for failed := 1; ; failed++ {
		is, aerr := t.isTaken(ctx, s.Backend, part)
		if aerr == nil && is {
			t.committed.Note(part)
			return nil
		}
		if aerr == nil {
			return err
		}
		if stream.KindOf(aerr) != stream.Outage {
			return aerr
		}
		if !t.opts.Retry.Again(ctx, failed, aerr) {
			// Without the answer nobody may do it again.
			return stream.Last(errors.Join(mysession.Explain(err, t.conn.Name()), aerr))
		}
	}
}

// isTaken asks the ledger for a part whose transaction is in doubt, after it has ended the session that was at it.
func (t *Target) isTaken(ctx context.Context, b mysession.Backend, part stream.Part) (bool, error) {
	if err := t.rejoin(ctx, true); err != nil {
		return false, err
	}
	s, err := t.session(ctx)
	if err != nil {
		return false, err
	}
	defer s.End()
	if err := s.Bury(ctx, b); err != nil {
		return false, mysession.Explain(err, t.conn.Name()) // while it lives no answer is the last
	}
	if err := t.mine(ctx, s); err != nil {
		return false, t.explainLedger(err)
	}
	is, err := t.has(ctx, s, part.Table, part.N)
	return is, t.explainLedger(err)
}

func fenced() error {
	return stream.Fail(stream.Busy, "another pgmove has taken over the target").WithHint("let that one finish")
}

// Keep ends the run as Finish does, and leaves the ledger.
func (t *Target) Keep(ctx context.Context) error {
	if len(t.filled) == 0 {
		return nil
	}
	if err := t.rejoin(ctx, true); err != nil {
		return err
	}
	return t.checkLoaded(ctx)
}

// Finish drops the ledger.
func (t *Target) Finish(ctx context.Context) error {
	if !t.ledger {
		return nil
	}
	if err := t.rejoin(ctx, true); err != nil {
		return err
	}
	if err := t.checkLoaded(ctx); err != nil {
		return err
	}
	fault.Point("ledger.finish:before")
	// In one statement, which the server completes whatever becomes of us.
	if err := t.control.Do(ctx, "DROP TABLE IF EXISTS "+strings.Join([]string{factTable, takenTable, runTable}, ", ")); err != nil {
		return mysession.Explain(err, "the ledger")
	}
	fault.Point("ledger.finish:after")
	t.ledger = false
	return nil
}
