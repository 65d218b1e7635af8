package pgsource

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// heldKey is the first half of the advisory lock by which a process that holds a snapshot, with the locks that
// belong to it, is known; the snapshot's ID is the second. Other exported snapshots have no locks: what
// is truncated under them reads as empty.
const heldKey = "hashtext('pgmove snapshot')"

var snapshotForm = regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{8}-[0-9]{1,10}$`)

// CheckSnapshot returns a Failure of kind Usage for what can't be a snapshot's ID.
func CheckSnapshot(id string) error {
	if snapshotForm.MatchString(id) {
		return nil
	}
	return stream.Fail(stream.Usage, "--snapshot %s: not the ID of a snapshot", stream.Text(id).Display()).
		WithHint("give the ID that pgmove snapshot --hold printed, such as 00000003-0000001B-1")
}

// Hold takes a snapshot with its locks, calls ready with its ID, and holds it until ctx ends, which is no error,
// or until it is lost, which is.
func (s *Source) Hold(ctx context.Context, ready func(id string)) error {
	if err := s.holdSnapshot(ctx); err != nil {
		return pgsession.Explain(err, s.conn.Name())
	}
	if err := s.coordinator.Do(ctx, fmt.Sprintf("SELECT pg_catalog.pg_advisory_xact_lock(%s, hashtext(%s))", heldKey, pgsession.Literal(s.exported))); err != nil {
		return pgsession.Explain(err, s.conn.Name())
	}
	ready(s.exported)
	t := time.NewTicker(holdEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		// Not ctx: its end must not break the session in the middle of an answer.
		if err := s.coordinator.Do(context.WithoutCancel(ctx), "SELECT 1"); err != nil {
			return (&stream.Failure{Kind: stream.NotResumable, Object: s.conn.Name(), Msg: "the session that held the snapshot is gone", Err: err}).
				WithHint("hold a new one; dumps that read under the old one digest again what they had finished")
		}
	}
}

// holdEvery is how often the session that holds a snapshot is looked after.
const holdEvery = 2 * time.Second

// adopt begins a transaction under the snapshot that another process holds.
func (s *Source) adopt(ctx context.Context, begin string) error {
	id := s.opts.Snapshot
	gone := func(err error) error {
		return (&stream.Failure{Kind: stream.NotResumable, Object: s.conn.Name(), Msg: "snapshot " + id + " is not held any more", Err: err}).
			WithHint("pgmove snapshot --hold must go on until the dump has ended; resume without --snapshot to digest again what was finished")
	}
	co := s.coordinator
	err := co.Do(ctx, begin+"; SET TRANSACTION SNAPSHOT "+pgsession.Literal(id))
	switch pgsession.Code(err) {
	case "":
		if err != nil {
			return err
		}
	case "22023", "42704", "55000", "0A000":
		return gone(err)
	default:
		return err
	}
	row, err := co.Row(ctx, fmt.Sprintf(`SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
		AND classid = %s::bigint::bit(32)::bigint::oid AND objid = hashtext(%s)::bigint::bit(32)::bigint::oid`, heldKey, pgsession.Literal(id)))
	if err != nil {
		return err
	}
	if row[0] == "0" {
		return (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(), Msg: "snapshot " + id + " is not held by pgmove: nothing keeps its tables from being truncated"}).
			WithHint("hold one with pgmove snapshot --hold, and give its ID")
	}
	s.facts.Held = true
	return nil
}

// readView notes what tells whether another snapshot is the same; see stream.Source.SameSnapshot.
func (s *Source) readView(ctx context.Context) error {
	// txid_…: the name that all versions know. Where the role may not see the checkpointer its time is null.
	row, err := s.coordinator.Row(ctx, `SELECT pg_catalog.txid_current_snapshot()::text, coalesce(pg_catalog.pg_postmaster_start_time()::text || ' ' ||
		(SELECT min(backend_start)::text FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer'), ''), pg_catalog.pg_is_in_recovery()`)
	if err != nil {
		return err
	}
	s.facts.View, s.facts.Instance = row[0], row[1]
	if row[2] == "t" {
		s.facts.View = "" // a standby sees commits in an order of its own
	}
	return nil
}
