package mysource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// sessionsBeside is how many sessions a dump opens beside its workers: what lists and locks, and what holds the locks of tables without transactions.
const sessionsBeside = 2

// foreseen is the rung of the ladder that a dump will most likely stand on. Nothing is locked to find out.
func (c *checking) foreseen(ctx context.Context) (Rung, error) {
	for _, r := range c.opts.Ladder {
		if !c.knows(r) {
			continue
		}
		var err error
		switch r {
		case BackupStage, FlushTables:
			if !c.may.Everywhere("RELOAD") {
				err = errUnfit
			}
		case LockTables:
			if !c.may.Has("LOCK TABLES") {
				err = errUnfit
			}
		case BinlogSnapshot:
			if err = c.allLogged(ctx); err == nil && c.needs.Settings["log_bin"] != "ON" {
				err = errUnfit
			}
		case GTID:
			_, err = c.executed(ctx)
		}
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, errUnfit) {
			return "", err
		}
	}
	return Single, nil
}

// rungs say what a rung means for who writes to the source meanwhile.
var rungs = map[Rung]struct{ msg, hint string }{
	BackupStage: {"under BACKUP STAGE BLOCK_COMMIT: commits wait for some milliseconds, and long queries hold nothing up", "nothing"},
	FlushTables: {"under FLUSH TABLES WITH READ LOCK: writers wait for some milliseconds, or ten seconds at the most where a long query holds it up; a service that doesn't let it be used (RDS, Aurora) gets the next rung",
		"nothing, or move when no long queries run"},
	LockTables: {"under LOCK TABLES … READ of all tables: writers wait for some milliseconds, or ten seconds at the most where a transaction that has written holds it up", "nothing, or move when no long transactions run"},
	BinlogSnapshot: {"without a lock, by the binary log's positions, which must be the same for all sessions: where others commit all the time it is tried for ten seconds, and then one session reads everything",
		"grant LOCK TABLES on the database, or RELOAD, if many commit"},
	GTID: {"without a lock, by the executed GTIDs, which must be the same before and after: where others commit all the time it is tried for ten seconds, and then one session reads everything",
		"grant LOCK TABLES on the database, or RELOAD, if many commit"},
}

// snapshot tells how all sessions will come to the same snapshot, and whether it will be known where in the binary log that is.
func (c *checking) snapshot(ctx context.Context) error {
	var err error
	if c.needs.Settings, err = c.q.Settings(ctx); err != nil {
		return err
	}
	rung, err := c.foreseen(ctx)
	if err != nil {
		return err
	}
	switch {
	case rung != Single:
		c.found.Add("snapshot-by", fmt.Sprintf("the snapshot will most likely be taken %s (rung %s)", rungs[rung].msg, rung), rungs[rung].hint)
	case c.opts.Jobs > 1:
		c.found.Add("single-session", fmt.Sprintf("nothing lets several sessions have one snapshot: one alone reads everything, whatever --jobs says (rung %s)", rung),
			"grant the account LOCK TABLES on the database, or RELOAD, for as long as the move begins")
	default:
		c.found.Add("snapshot-by", fmt.Sprintf("one session reads everything: it needs no other's snapshot (rung %s)", rung), "nothing")
	}
	if on, known := c.needs.Settings["log_bin"]; known && on != "ON" {
		c.found.Add("no-binary-log", "log_bin is off: no position says where replication from the source could go on after the snapshot", "nothing, unless changes are to follow by replication; log_bin takes a restart")
	}
	return nil
}

// server looks at the server's state.
func (c *checking) server(ctx context.Context) error {
	room, err := c.q.Room(ctx)
	if err != nil {
		return err
	}
	c.needs.Clock = room.Clock
	if need := c.opts.Jobs + sessionsBeside; room.Connections < need {
		c.found.Add("source-connections", fmt.Sprintf("the server takes %d more connections from this account, a dump opens up to %d", max(room.Connections, 0), need),
			"use fewer --jobs, end idle sessions, or raise max_connections or the account's limit")
	}
	row, err := c.q.Row(ctx, "SELECT COALESCE(SUM(DATA_LENGTH), 0) + COALESCE(SUM(INDEX_LENGTH), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
	if err != nil {
		return err
	}
	c.needs.Bytes = number(row[0])
	c.found.Add("database-size", fmt.Sprintf("the database has %s in %d tables, by the server's own estimate; a server doesn't tell how much room its disk has", megabytes(c.needs.Bytes), c.needs.Tables),
		"see that the target's disk has room for as much again, and for its binary log")
	return nil
}

// megabytes shows a number of bytes.
func megabytes(n int64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
}

// objects counts what is moved in a way of its own, or may not arrive.
func (c *checking) objects(ctx context.Context) error {
	if err := c.describe(ctx, c.q, c.rels); err != nil {
		return err
	}
	var keyless, generated, foreign, broken []string
	for _, r := range c.rels {
		name := stream.Text(r.name).Display()
		switch {
		case r.kind == view && r.comment != "" && r.comment != "VIEW":
			broken = append(broken, name)
		case r.kind != table:
		case r.foreign:
			foreign = append(foreign, name+" ("+r.engine+")")
		default:
			if r.key == nil {
				keyless = append(keyless, name)
			}
			if slices.ContainsFunc(r.columns, func(c *column) bool { return c.generated }) {
				generated = append(generated, name)
			}
		}
	}
	rows, err := c.q.Rows(ctx, `SELECT DISTINCT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_SCHEMA FROM information_schema.KEY_COLUMN_USAGE
		WHERE CONSTRAINT_SCHEMA = DATABASE() AND REFERENCED_TABLE_SCHEMA <> DATABASE() ORDER BY 2, 1`)
	if err != nil {
		return err
	}
	var elsewhere []string
	for _, r := range rows {
		if !c.moved[r[1]] {
			continue
		}
		elsewhere = append(elsewhere, fmt.Sprintf("%s of table %s (database %s)", stream.Text(r[0]).Display(), stream.Text(r[1]).Display(), stream.Text(r[2]).Display()))
	}
	for _, n := range []struct {
		id        string
		names     []string
		msg, hint string
	}{
		{"tables-without-key", keyless, "tables without a key to cut them by (%d): %s; each is read in one piece, its rows are digested as multisets, and a difference names the table, not the row", "nothing: no row is lost for it"},
		{"generated-columns", generated, "tables with generated columns (%d): %s; the target computes them anew, and the report says unverified", "nothing, if their functions are the same on both sides"},
		{"foreign-tables", foreign, "tables whose rows are other tables', or none (%d): %s; only their definitions are moved", "see that the target reaches what they show"},
		{"views-broken", broken, "views that the server can't use (%d): %s; what they name is gone, or their definer is, or may not read it: the target may refuse them, after the rows are there", "mend or drop them, or create the definers"},
		{"foreign-keys-elsewhere", elsewhere, "foreign keys to other databases (%d): %s; they are made as they are, and their rows are checked only if the account may read both", "move those databases to the same server, or drop the keys"},
	} {
		if len(n.names) > 0 {
			c.found.Add(n.id, fmt.Sprintf(n.msg, len(n.names), stream.First(n.names)), n.hint)
		}
	}
	c.namers()
	return nil
}

// namers finds programs whose text names their own database, which it goes on doing on a target of another name.
func (c *checking) namers() {
	for _, r := range c.rows {
		t := mysession.Tokens(r["body"])
		for i := 0; i+1 < len(t); i++ {
			name := t[i].Kind == mysession.Name || t[i].Kind == mysession.Word
			if name && strings.EqualFold(t[i].Text, c.conn.Database()) && t[i+1].Kind == mysession.Sign && t[i+1].Text == "." && (i == 0 || t[i-1].Text != ".") {
				c.needs.Namers = append(c.needs.Namers, strings.ToLower(r["kind"])+" "+stream.Text(r["name"]).Display())
				break
			}
		}
	}
}

// activity looks at what others do on the server, as far as the account may see them.
func (c *checking) activity(ctx context.Context) error {
	rows, err := c.q.Rows(ctx, `SELECT ID, USER, TIME FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND STATE LIKE 'Waiting for % lock' ORDER BY TIME DESC LIMIT 10`)
	if err != nil {
		return err
	}
	var waiting []string
	for _, r := range rows {
		waiting = append(waiting, fmt.Sprintf("session %s of %s, for %s", r[0], stream.Text(r[1]).Display(), time.Duration(number(r[2]))*time.Second))
	}
	if len(waiting) > 0 {
		c.found.Add("exclusive-locks", "sessions wait for a lock on a table or on all: "+strings.Join(waiting, "; ")+"; a dump would wait behind them, and writers behind the dump", "wait until that has ended, or end what they wait for")
	}
	if rows, err = c.q.Rows(ctx, "XA RECOVER"); mysession.Code(err) != 0 && !mysession.Lost(err) {
		return nil // MySQL shows them to those alone who may commit them
	}
	if err == nil && len(rows) > 0 {
		c.found.Add("prepared-transactions", fmt.Sprintf("XA transactions are prepared and neither committed nor rolled back (%d); what they wrote is not in the snapshot, and their locks stay", len(rows)),
			"XA COMMIT or XA ROLLBACK them before the move; XA RECOVER lists them")
	}
	return err
}
