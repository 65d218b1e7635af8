package pgtarget

import (
	"context"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// Hold refuses a target that another run holds.
func (t *Target) Hold(ctx context.Context) error { return t.hold(ctx) }

// CheckOther refuses a target that is the source itself. A copy of the server's files has the same identifier, but
// was started at another moment.
func (t *Target) CheckOther(ctx context.Context, src *stream.Source) error {
	started := src.Started
	if started == "" {
		// "2026-11-21 13:00:00.123456+00 …": of the server's start and its checkpointer's.
		started = strings.Join(strings.Fields(src.Instance + " . .")[:2], " ")
	}
	row, err := t.control.Row(ctx, `SELECT system_identifier::text, pg_catalog.current_database(), pg_catalog.pg_postmaster_start_time()::text
		FROM pg_catalog.pg_control_system()`)
	if err != nil {
		if pgsession.Code(err) == "42501" {
			return nil // and the source's is as unknown
		}
		return pgsession.Explain(err, t.conn.Name())
	}
	if src.SystemID != row[0] || string(src.Database) != row[1] || started != row[2] {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "source and target are the same database"}).
		WithHint("name another database as --target")
}
