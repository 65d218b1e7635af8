package pgtarget

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// The ledger says what the target has taken. A row of it commits in the
// transaction of the entry or the chunk that it stands for: what it lists is
// there, and what it doesn't list is not.
//
// pgmove.run has one row, the run; its epoch fences off an older process of the same run
// that still has a transaction open.

// durable has a transaction wait for the target's disk: a crash may take back what was loaded, which the ledger then tells,
// but never the ledger or the run's epoch.
const durable = "SET LOCAL synchronous_commit = on;\n"

// makeLedger creates the ledger. It is the first change to the target.
func (t *Target) makeLedger(ctx context.Context, h *stream.Header, entries []stream.Entry, plan []stream.Chunk) error {
	t.epoch = 1
	lit := pgsession.Literal
	if !h.Live {
		plan = nil // the archive keeps it
	}
	begin := "BEGIN;"
	if t.opts.Clean {
		begin = "" // clean began it
	}
	fault.Point("ledger.prepare:before")
	err := t.control.Do(ctx, begin+"\n"+durable+`CREATE SCHEMA pgmove;
COMMENT ON SCHEMA pgmove IS `+lit("pgmove ledger of run "+h.Run)+`;
CREATE TABLE pgmove.run (run text PRIMARY KEY, epoch bigint NOT NULL, source_system text, source_database text,
	snapshot text, tool text, started timestamptz NOT NULL DEFAULT pg_catalog.now(), header bytea, prints bytea, plan bytea);
CREATE TABLE pgmove.taken (id int NOT NULL, part int NOT NULL, rows bigint, digest text,
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(), PRIMARY KEY (id, part));
CREATE UNLOGGED TABLE pgmove.uncrashed AS SELECT true AS so;
INSERT INTO pgmove.run (run, epoch, source_system, source_database, snapshot, tool, header, prints, plan) VALUES (`+strings.Join([]string{
		lit(h.Run), strconv.FormatInt(t.epoch, 10), lit(h.Source.SystemID), lit(string(h.Source.Database)), lit(h.Source.Snapshot), lit(h.Tool),
		packed(h), packed(stream.Prints(entries)), packed(plan)}, ", ")+`);
COMMIT`)
	if err != nil {
		_ = t.control.Do(context.WithoutCancel(ctx), "ROLLBACK")
		if pgsession.Code(err) == "42501" {
			return t.mayNotCreate(err)
		}
		return pgsession.Explain(err, t.conn.Name())
	}
	fault.Point("ledger.prepare:after")
	t.ledger = true
	return nil
}

// uncrashed makes sure that the server did not crash since rows were loaded that it loses then: those of unlogged
// tables. A table of that kind in the ledger tells.
func (t *Target) uncrashed(ctx context.Context) error {
	row, err := t.control.Row(ctx, `SELECT pg_catalog.to_regclass('pgmove.uncrashed') IS NOT NULL, pg_catalog.count(*) FROM pg_catalog.pg_class
		WHERE relkind = 'r' AND relpersistence = 'u' AND oid IS DISTINCT FROM pg_catalog.to_regclass('pgmove.uncrashed')`)
	if err == nil && row[0] == "t" {
		var there []string
		if there, err = t.control.Row(ctx, "SELECT so FROM pgmove.uncrashed"); err == nil && there == nil && row[1] != "0" {
			return (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(), Msg: fmt.Sprintf("the server crashed, and its %s unlogged tables are empty since", row[1])}).
				WithHint("drop and create the database, then start afresh")
		}
	}
	return pgsession.Explain(err, "the ledger")
}

func (t *Target) mayNotCreate(err error) error {
	return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(), Msg: "role " + t.conn.User() + " may not create schemas there", Err: err}).
		WithHint("make it the owner of the target database, or grant it CREATE on it")
}

// The ledger's part numbers of entries; chunks count from 0.
const (
	entryPart = -1
	earlyPart = -2 // the first stage of one that is applied in two
	donePart  = -3 // of id 0: the run has ended well, and its ledger was kept
)

func partOf(e *stream.Entry) int {
	if e.Early {
		return earlyPart
	}
	return entryPart
}

// take returns the statement that writes ledger rows, each "(id, part, rows,
// digest)". Where another process has taken the run over it divides by zero, and
// the transaction with it: so ledger and COMMIT go in one round trip. FOR SHARE
// makes that other process wait for transactions of ours that are already past it.
func (t *Target) take(values []string) string {
	return ownPath + fmt.Sprintf(`INSERT INTO pgmove.taken (id, part, rows, digest)
SELECT v.id, v.part, v.rows, v.digest FROM (VALUES %s) v (id, part, rows, digest), (SELECT 1 / pg_catalog.count(*) AS mine FROM (
SELECT FROM pgmove.run WHERE run = %s AND epoch = %d FOR SHARE) r) r WHERE mine = 1`,
		strings.Join(values, ", "), pgsession.Literal(t.run), t.epoch)
}

// fenced turns the ledger's division by zero into what it means.
func fenced(err error) error {
	if pgsession.Code(err) != "22012" {
		return err
	}
	return takenOver()
}

// Keep ends the run as Finish does, and leaves the ledger.
func (t *Target) Keep(ctx context.Context) error {
	if err := t.rejoin(ctx); err != nil {
		return err
	}
	// With this commit everything before it is durable as well.
	return pgsession.Explain(t.control.Do(ctx, fmt.Sprintf("SET synchronous_commit = on; INSERT INTO pgmove.taken (id, part) VALUES (0, %d) ON CONFLICT DO NOTHING", donePart)), "the ledger")
}

// hasEnded reports whether the ledger there is one that Keep left. One that can't be read is not.
func (t *Target) hasEnded(ctx context.Context) bool {
	row, err := t.control.Row(ctx, fmt.Sprintf("SELECT 1 FROM pgmove.taken WHERE id = 0 AND part = %d", donePart))
	return err == nil && row != nil
}

// Finish drops the ledger.
func (t *Target) Finish(ctx context.Context) error {
	if !t.ledger {
		return nil
	}
	if err := t.rejoin(ctx); err != nil {
		return err
	}
	// Event triggers are there by now, and must not see it, least of all refuse it. In this
	// transaction they are off; commands on event triggers fire none.
	rows, err := t.control.Rows(ctx, "SELECT evtname, evtenabled FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'")
	if err != nil {
		return pgsession.Explain(err, "the ledger")
	}
	var off, on strings.Builder
	for _, r := range rows {
		state := map[string]string{"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}[r[1]]
		fmt.Fprintf(&off, "ALTER EVENT TRIGGER %s DISABLE;\n", pgsession.Ident(r[0]))
		fmt.Fprintf(&on, "ALTER EVENT TRIGGER %s %s;\n", pgsession.Ident(r[0]), state)
	}
	fault.Point("ledger.finish:before")
	// With this commit everything before it is durable as well.
	if err := t.control.Do(ctx, "SET synchronous_commit = on; BEGIN;\n"+off.String()+"DROP SCHEMA pgmove CASCADE;\n"+on.String()+"COMMIT"); err != nil {
		_ = t.control.Do(context.WithoutCancel(ctx), "ROLLBACK")
		return pgsession.Explain(err, "the ledger")
	}
	fault.Point("ledger.finish:after")
	t.ledger = false
	return nil
}
