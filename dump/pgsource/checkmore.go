package pgsource

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// sessionsBeside is how many sessions a dump opens beside its workers: the coordinator's, pg_dump's, and one that asks who holds a lock.
const sessionsBeside = 3

// server looks at the server's state and settings.
func (c *checking) server(ctx context.Context) (err error) {
	if c.needs.Locale, err = c.q.Locale(ctx); err != nil {
		return err
	}
	room, err := c.q.Room(ctx)
	if err != nil {
		return err
	}
	c.needs.Clock = room.Clock
	if need := max(c.opts.Jobs, 1) + sessionsBeside; room.Connections < need {
		c.found.Add("source-connections", fmt.Sprintf("the server takes %d more connections from this role, a dump opens up to %d", max(room.Connections, 0), need),
			"use fewer --jobs, end idle sessions, or raise max_connections")
	}
	if c.needs.Tables > room.Locks {
		c.found.Add("source-locks", fmt.Sprintf("a dump locks all %d tables, the lock table has room for %d locks", c.needs.Tables, room.Locks),
			"raise max_locks_per_transaction, or dump by --schema")
	}
	if room.Recovery {
		row, err := c.q.Row(ctx, "SELECT pg_catalog.current_setting('max_standby_streaming_delay'), pg_catalog.current_setting('hot_standby_feedback')")
		if err != nil {
			return err
		}
		c.found.Add("source-standby", fmt.Sprintf("it is a standby, with max_standby_streaming_delay = %s and hot_standby_feedback = %s: what its primary vacuums away may end the snapshot", row[0], row[1]),
			"set max_standby_streaming_delay = -1 or hot_standby_feedback = on while the dump goes on, or dump the primary")
	}
	limits, err := c.q.Timeouts(ctx)
	if err != nil {
		return err
	}
	if len(limits) > 0 {
		c.found.Add("source-timeouts", "sessions of this role begin with "+strings.Join(limits, ", ")+"; pgmove's own set them to 0", "nothing: unless something else ends long sessions")
	}
	row, err := c.q.Row(ctx, "SELECT pg_catalog.pg_database_size(pg_catalog.current_database()), pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(pg_catalog.current_database()))")
	if err != nil {
		return err
	}
	c.needs.Bytes = number(row[0])
	c.found.Add("database-size", fmt.Sprintf("the database has %s in %d tables; a server doesn't tell how much room its disk has", row[1], c.needs.Tables),
		"see that the target's disk has room for as much again, and for the WAL while indexes are built")
	return nil
}

// users' tables c in schemas n, without those of extensions.
const usersTables = `FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '` + LedgerSchema + `') AND c.relpersistence <> 't'
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 1259 AND e.objid = c.oid AND e.deptype = 'e')`

// objects counts what is moved in a way of its own.
func (c *checking) objects(ctx context.Context) error {
	generated := "false"
	if c.versnum >= 120000 {
		generated = "EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '')"
	}
	rows, err := c.q.Rows(ctx, `SELECT n.nspname, c.relname, c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i
			WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL), c.relpersistence = 'u' AND c.relkind IN ('r', 'p'), c.relkind = 'f', c.relkind = 'r' AND `+generated+` `+usersTables+`
		AND c.relkind IN ('r', 'p', 'f') ORDER BY 1, 2`)
	if err != nil {
		return err
	}
	for i, n := range []struct{ id, msg, hint string }{
		{"tables-without-key", "tables without a unique key (%d): %s; their rows are counted and digested as multisets, and a difference names the table, not the row", "nothing: no row is lost for it"},
		{"unlogged-tables", "unlogged tables (%d): %s; their rows are moved, and a crash of the target empties them again", "ALTER TABLE … SET LOGGED if their rows matter"},
		{"foreign-tables", "foreign tables (%d): %s; their definitions are moved, their rows stay where they are", "see that the target reaches their servers"},
		{"generated-columns", "tables with generated columns (%d): %s; the target computes them anew, and the report says unverified", "nothing, if their functions are the same on both sides"},
	} {
		of := slices.DeleteFunc(slices.Clone(rows), func(r []string) bool { return r[2+i] != "t" })
		if len(of) > 0 {
			c.found.Add(n.id, fmt.Sprintf(n.msg, len(of), nameList(of)), n.hint)
		}
	}
	row, err := c.q.Row(ctx, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata")
	if err != nil {
		return err
	}
	if row[0] != "0" && c.whole() {
		c.found.Add("large-objects", "large objects ("+row[0]+"): they are written piece by piece, which is slower than COPY, and keep their OIDs", "nothing")
	}
	rows, err = c.q.Rows(ctx, `SELECT 'event trigger ' || evtname FROM pg_catalog.pg_event_trigger t
			WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 3466 AND e.objid = t.oid AND e.deptype = 'e')
		UNION ALL SELECT 'publication ' || pubname || ' FOR ALL TABLES' FROM pg_catalog.pg_publication WHERE puballtables
		UNION ALL SELECT 'subscription ' || subname FROM pg_catalog.pg_subscription
			WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY 1`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		c.needs.Privileged = append(c.needs.Privileged, stream.Text(r[0]).Display())
	}
	return nil
}

// activity looks at what others do on the server.
func (c *checking) activity(ctx context.Context) error {
	locks, err := exclusive(ctx, c.q)
	if err != nil {
		return err
	}
	if len(locks) > 0 {
		c.found.Add("exclusive-locks", strings.Join(locks, "; ")+": a dump waits for it", "wait until that has ended, or end it")
	}
	rows, err := c.q.Rows(ctx, `SELECT gid || ' of ' || owner FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() ORDER BY prepared LIMIT 100`)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		c.found.Add("prepared-transactions", "transactions are prepared and neither committed nor rolled back: "+firsts(rows)+"; what they wrote is not in the snapshot, and their locks stay",
			"COMMIT PREPARED or ROLLBACK PREPARED before the move")
	}
	rows, err = c.q.Rows(ctx, `SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_type = 'logical' AND database = pg_catalog.current_database() ORDER BY 1`)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		c.found.Add("logical-slots", "logical replication slots are not moved: "+firsts(rows), "make them anew on the target, and have their readers begin afresh")
	}
	return nil
}
