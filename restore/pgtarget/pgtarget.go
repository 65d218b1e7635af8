// Package pgtarget applies an archive to a PostgreSQL database: entries and
// chunks over the driver, each in one transaction with its ledger row.
//
// It imports stream, stream/pgtoc, internal/pgsession and the driver. It never
// runs psql or pg_restore, never creates or drops a database, and never prints.
package pgtarget

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// Options tunes a target.
type Options struct {
	// NoOwner leaves objects with the role that restores; NoACL leaves out privileges.
	NoOwner, NoACL bool
	// Resume allows to go on where an earlier process stopped, if its ledger is there.
	Resume bool
	// Clean drops what the archive holds, where it is on the target, before it is created.
	Clean bool
	// DisableTriggers loads rows with triggers and foreign keys switched off.
	DisableTriggers bool
	// Sessions is how many sessions are opened at the most; 2 where it is less.
	Sessions int
	// Patience is how long an unreachable server is tried again.
	Patience time.Duration
	// Retry is how long the ledger is asked for a transaction in doubt.
	Retry   stream.Retry
	Observe stream.Observer
}

// Target is a PostgreSQL database that takes an archive.
type Target struct {
	conn     *pgsession.Conn
	opts     Options
	version  int
	versionS string
	control  *pgsession.Session // holds the lock against other runs; in use by several with controlMu
	sessions chan *pooled

	controlMu sync.Mutex
	mine      stream.Commits // this process's

	source stream.Source
	run    string
	epoch  int64
	byID   map[stream.DumpID]*stream.Entry
	ledger bool // made, or resumed
	taken  stream.Taken
	needMu sync.Mutex
	need   map[stream.DumpID]bool // data entries that load under the source's search_path only
	warned map[string]bool
	// Of rows that come into a finished schema: which data entries wait for which, and how many chunks of
	// each are still to come.
	parents map[stream.DumpID][]stream.DumpID
	left    map[stream.DumpID]int
	keys    []foreign
	kept    map[stream.Text]bool // schemas that Clean left

	roles     map[stream.Text]*stream.Role // of the source; nil where none are to be created
	roleOrder []stream.Text
}

// Open connects to the target; it changes nothing there.
func Open(ctx context.Context, conn *pgsession.Conn, o Options) (*Target, error) {
	o.Sessions = max(o.Sessions, 2)
	t := &Target{conn: conn, opts: o, need: map[stream.DumpID]bool{}, warned: map[string]bool{}}
	c, err := t.session(ctx, "UTF8")
	if err != nil {
		return nil, err
	}
	t.control, t.version, t.versionS = c, c.VersionNum, c.Version
	t.sessions = make(chan *pooled, o.Sessions)
	for range o.Sessions {
		t.sessions <- &pooled{}
	}
	return t, nil
}

// VersionNum is the server's version as it counts it.
func (t *Target) VersionNum() int { return t.version }

// Version is the server's version as people write it.
func (t *Target) Version() string { return t.versionS }

func (t *Target) session(ctx context.Context, encoding string) (*pgsession.Session, error) {
	s, err := pgsession.Connect(ctx, t.conn, pgsession.Options{Encoding: encoding, Patience: t.opts.Patience,
		Notice: func(n *pgconn.Notice) {
			if n.Severity == "WARNING" {
				t.warn("target: " + stream.Text(n.Message).Display())
			}
		}})
	if err != nil {
		return nil, err
	}
	if err := s.Do(ctx, tuning(max(t.opts.Sessions/2, 1))); err != nil {
		s.End()
		return nil, pgsession.Explain(err, t.conn.Name())
	}
	return s, nil
}

// tuning returns the settings of a session that loads and builds, where so many build at a time.
//
// A crash of the target before the end may take the last transactions with it; the run's last one is made durable. Index
// builds share half of what the server was told to keep in shared_buffers, as nothing else tells how much memory
// there is; none gets less than the server's own setting. They share the parallel workers too, one for each at least.
func tuning(builders int) string {
	return fmt.Sprintf(`SET synchronous_commit = off;
SELECT pg_catalog.set_config('maintenance_work_mem', least(greatest(m.setting::bigint, b.setting::bigint * 8 / 2 / %[1]d), 2097151)::text, false)
FROM pg_catalog.pg_settings m, pg_catalog.pg_settings b WHERE m.name = 'maintenance_work_mem' AND b.name = 'shared_buffers';
SELECT pg_catalog.set_config('max_parallel_maintenance_workers', least(m.setting::int, greatest(w.setting::int / %[1]d, 1))::text, false)
FROM pg_catalog.pg_settings m, pg_catalog.pg_settings w WHERE m.name = 'max_parallel_maintenance_workers' AND w.name = 'max_parallel_workers'`, builders)
}

// warn reports a warning once.
func (t *Target) warn(text string) {
	t.needMu.Lock()
	seen := t.warned[text]
	t.warned[text] = true
	t.needMu.Unlock()
	if !seen {
		t.opts.Observe.Warn("restore", text)
	}
}

// Loaded lets go of what was needed to load.
func (t *Target) Loaded() { t.byID = nil }

// setEncoding has the control session take the source's encoding, or refuses it.
func (t *Target) setEncoding(ctx context.Context, encoding string) error {
	err := t.control.Do(ctx, "SET client_encoding = "+pgsession.Literal(encoding))
	switch {
	case err == nil:
		return nil
	case pgsession.Lost(err):
		return pgsession.Explain(err, t.conn.Name())
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(),
		Msg: "it cannot take the source's encoding " + encoding, Err: pgsession.Explain(err, "client_encoding")}).
		WithHint("create the target database with ENCODING '%s'", encoding)
}

// hold takes the lock that keeps a second run off the target. It is the control session's,
// and goes with it.
func (t *Target) hold(ctx context.Context) error {
	if err := t.reconnect(ctx); err != nil {
		return err
	}
	row, err := t.tryLock(ctx)
	if err != nil {
		return pgsession.Explain(err, t.conn.Name())
	}
	if row[0] != "t" {
		return t.busy()
	}
	return nil
}

func (t *Target) busy() error {
	return (&stream.Failure{Kind: stream.Busy, Object: t.conn.Name(), Msg: "another pgmove is restoring to it"}).
		WithHint("wait until that one has ended, or end it")
}

// occupants lists what a new database doesn't hold.
const occupants = `WITH ext AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'),
	ns AS (SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
	SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
		WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'relation' END || ' ' || n.nspname || '.' || c.relname
	FROM pg_catalog.pg_class c JOIN ns n ON n.oid = c.relnamespace
	WHERE NOT EXISTS (SELECT FROM ext WHERE ext.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND ext.objid = c.oid)
		AND c.relkind NOT IN ('i', 'I', 't')
	UNION ALL SELECT 'function ' || n.nspname || '.' || p.proname FROM pg_catalog.pg_proc p JOIN ns n ON n.oid = p.pronamespace
	WHERE NOT EXISTS (SELECT FROM ext WHERE ext.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND ext.objid = p.oid)
	UNION ALL SELECT 'type ' || n.nspname || '.' || y.typname FROM pg_catalog.pg_type y JOIN ns n ON n.oid = y.typnamespace
	WHERE y.typtype IN ('d', 'e', 'r') AND NOT EXISTS (SELECT FROM ext WHERE ext.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND ext.objid = y.oid)
	UNION ALL SELECT 'schema ' || nspname FROM ns
	WHERE nspname <> 'public' AND NOT EXISTS (SELECT FROM ext WHERE ext.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND ext.objid = ns.oid)
	UNION ALL SELECT 'large object ' || oid FROM pg_catalog.pg_largeobject_metadata
	LIMIT 1000`

// CheckEmpty refuses a target that another run holds, or that holds anything.
func (t *Target) CheckEmpty(ctx context.Context) error {
	if err := t.hold(ctx); err != nil {
		return err
	}
	return pgsession.Explain(t.checkEmpty(ctx, nil), t.conn.Name())
}

func (t *Target) checkEmpty(ctx context.Context, entries []stream.Entry) error {
	all, err := t.control.Rows(ctx, occupants)
	if err != nil {
		return err
	}
	// A schema with nothing in it is in nobody's way, unless it comes with the archive.
	ours := map[string]bool{"schema pgmove": true}
	for i := range entries {
		if e := &entries[i]; e.Desc == "SCHEMA" {
			ours["schema "+string(e.Tag)] = true
		}
	}
	var rows [][]string
	for _, r := range all {
		if !strings.HasPrefix(r[0], "schema ") || ours[r[0]] {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	var names []string
	unfinished := false
	for _, r := range rows {
		if r[0] == "schema pgmove" {
			unfinished = true
		}
		if len(names) < 5 && !strings.Contains(r[0], " pgmove") {
			names = append(names, stream.Text(r[0]).Display())
		}
	}
	f := &stream.Failure{Kind: stream.Preflight, Object: t.conn.Name()}
	if unfinished && t.hasEnded(ctx) {
		f.Msg = "the target is not empty: a pgmove run ended there, and its ledger was kept"
		return f.WithHint("pgmove validate compares it again; to move anew, drop and create the database, or give --clean")
	}
	if unfinished {
		f.Msg = "the target is not empty: a pgmove run began there and did not finish"
		return f.WithHint("run again with --resume to go on where it stopped; or drop and create the database, then run again")
	}
	f.Msg = fmt.Sprintf("the target is not empty: it holds %s", strings.Join(names, ", "))
	if n := len(rows) - len(names); n > 0 {
		f.Msg += fmt.Sprintf(" and %d more", n)
	}
	return f.WithHint("create an empty database for the move; pgmove replaces nothing unless --clean asks for it")
}

func (t *Target) checkRoles(ctx context.Context, entries []stream.Entry) error {
	rows, err := t.control.Rows(ctx, "SELECT rolname, pg_catalog.pg_has_role(oid, 'MEMBER') FROM pg_catalog.pg_roles")
	if err != nil {
		return err
	}
	have, member := map[stream.Text]bool{"": true}, map[stream.Text]bool{"": true}
	for _, r := range rows {
		have[stream.Text(r[0])] = true
		member[stream.Text(r[0])] = r[1] == "t"
	}
	for _, name := range t.roleOrder {
		if !have[name] && !stream.ReservedRole(name) {
			have[name], member[name] = true, true // it will be created
		}
	}
	missing := map[stream.Text]bool{}
	for _, r := range t.source.Roles {
		if (r.Owner && !t.opts.NoOwner || r.ACL && !t.opts.NoACL || r.Other) && !have[r.Name] {
			missing[r.Name] = true
		}
	}
	for i := range entries {
		if !t.opts.NoOwner && !have[entries[i].Owner] {
			missing[entries[i].Owner] = true
		}
	}
	foreign := map[stream.Text]bool{}
	for i := range entries {
		if e := &entries[i]; !t.opts.NoOwner && have[e.Owner] && !member[e.Owner] &&
			pgtoc.OwnerStmt(string(e.Desc), string(e.Namespace), string(e.Tag), string(e.Owner), string(e.DropStmt)) != "" {
			foreign[e.Owner] = true
		}
	}
	if len(missing) == 0 && len(foreign) > 0 {
		return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
			Msg: fmt.Sprintf("role %s is no member of roles that own objects: %s", t.conn.User(), join(foreign))}).
			WithHint("grant it those roles on the target, or leave owners out with --no-owner")
	}
	if len(missing) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "roles are missing on the target: " + join(missing)}).
		WithHint("create them there, or run with --roles missing; or leave owners out with --no-owner and privileges with --no-acl")
}

func join(set map[stream.Text]bool) string { return strings.Join(sorted(set), ", ") }

// sorted lists a set's names for a message.
func sorted(set map[stream.Text]bool) []string {
	names := make([]string, 0, len(set))
	for n := range set {
		names = append(names, n.Display())
	}
	slices.Sort(names)
	return names
}

func (t *Target) checkExtensions(ctx context.Context, entries []stream.Entry) error {
	wanted := map[stream.Text]bool{}
	for i := range entries {
		if entries[i].Desc == "EXTENSION" {
			wanted[entries[i].Tag] = true
		}
	}
	return t.checkThere(ctx, wanted, "SELECT name FROM pg_catalog.pg_available_extensions", "extensions are not installed on the target's server",
		"install their packages on the target's server, or drop them on the source")
}

func (t *Target) checkTablespaces(ctx context.Context, entries []stream.Entry) error {
	wanted := map[stream.Text]bool{}
	for i := range entries {
		if entries[i].Tablespace != "" {
			wanted[entries[i].Tablespace] = true
		}
	}
	return t.checkThere(ctx, wanted, "SELECT spcname FROM pg_catalog.pg_tablespace", "tablespaces are missing on the target", "create them there")
}

// checkThere refuses the target unless the query lists all that is wanted.
func (t *Target) checkThere(ctx context.Context, wanted map[stream.Text]bool, query, msg, hint string) error {
	if len(wanted) == 0 {
		return nil
	}
	rows, err := t.control.Rows(ctx, query)
	if err != nil {
		return err
	}
	for _, r := range rows {
		delete(wanted, stream.Text(r[0]))
	}
	if len(wanted) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: msg + ": " + join(wanted)}).WithHint("%s", hint)
}
