package pgsession

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Room is what a server has left for sessions and locks.
type Room struct {
	// Connections are those that the role may still open; Locks is how many objects the lock table has room for, of all sessions together.
	Connections, Locks int
	// Recovery says that the server is a standby.
	Recovery bool
	// Clock is by how much the server's clock is ahead of this machine's.
	Clock time.Duration
}

// Room asks for the server's room.
func (s *Session) Room(ctx context.Context) (Room, error) {
	backends := "count(*) FILTER (WHERE backend_type = 'client backend')"
	if s.VersionNum < 100000 {
		backends = "count(*)"
	}
	asked := time.Now()
	row, err := s.Row(ctx, `SELECT extract(epoch FROM pg_catalog.clock_timestamp()),
		least(pg_catalog.current_setting('max_connections')::int - pg_catalog.current_setting('superuser_reserved_connections')::int - a.used,
			CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit - a.own END, CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit - a.here END),
		pg_catalog.current_setting('max_locks_per_transaction')::bigint *
			(pg_catalog.current_setting('max_connections')::bigint + pg_catalog.current_setting('max_prepared_transactions')::bigint),
		pg_catalog.pg_is_in_recovery()
		FROM pg_catalog.pg_roles r, pg_catalog.pg_database d, (SELECT `+backends+` AS used, count(*) FILTER (WHERE usename = current_user) AS own,
			count(*) FILTER (WHERE datname = pg_catalog.current_database()) AS here FROM pg_catalog.pg_stat_activity) a
		WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()`)
	if err != nil {
		return Room{}, err
	}
	took := time.Since(asked)
	epoch, _ := strconv.ParseFloat(row[0], 64)
	r := Room{Recovery: row[3] == "t"}
	r.Clock = time.UnixMicro(int64(epoch * 1e6)).Sub(asked.Add(took / 2))
	r.Connections, _ = strconv.Atoi(row[1])
	r.Locks, _ = strconv.Atoi(row[2])
	return r, nil
}

// Timeouts lists the limits that server, database or role set for the session before they were pinned: "statement_timeout = 20ms".
func (s *Session) Timeouts(ctx context.Context) ([]string, error) {
	rows, err := s.Rows(ctx, `SELECT name || ' = ' || reset_val || coalesce(unit, '') FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',
		'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout') AND reset_val <> '0' ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rows {
		out = append(out, r[0])
	}
	return out, nil
}

// Locale describes how the database sorts: its provider, its locale, and the version of the library's collation where the server knows it.
func (s *Session) Locale(ctx context.Context) (map[string]string, error) {
	provider, icu, version := "'c'", "''", `(SELECT pg_catalog.pg_collation_actual_version(l.oid) FROM pg_catalog.pg_collation l
		WHERE l.collprovider = 'c' AND l.collcollate = d.datcollate LIMIT 1)`
	switch {
	case s.VersionNum >= 170000:
		provider, icu, version = "d.datlocprovider", "d.datlocale", "pg_catalog.pg_database_collation_actual_version(d.oid)"
	case s.VersionNum >= 150000:
		provider, icu, version = "d.datlocprovider", "d.daticulocale", "pg_catalog.pg_database_collation_actual_version(d.oid)"
	}
	row, err := s.Row(ctx, `SELECT `+provider+`, d.datcollate, d.datctype, coalesce(`+icu+`, ''), coalesce(`+version+`, '')
		FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()`)
	if err != nil {
		return nil, err
	}
	m := map[string]string{"provider": map[string]string{"c": "libc", "i": "icu", "b": "builtin"}[row[0]], "collate": row[1], "ctype": row[2], "version": row[4]}
	if row[0] != "c" {
		m["collate"] = strings.TrimSpace(row[3])
	}
	return m, nil
}
