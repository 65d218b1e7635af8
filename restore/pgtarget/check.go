package pgtarget

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// Severities are the findings that Check knows; docs/check.md says what each means.
var Severities = map[string]stream.Severity{
	"target-unreachable":    stream.Block,
	"target-pooler":         stream.Block,
	"target-busy":           stream.Block,
	"target-not-empty":      stream.Block,
	"target-standby":        stream.Block,
	"target-no-create":      stream.Block,
	"encoding-impossible":   stream.Block,
	"roles-missing":         stream.Block,
	"roles-not-member":      stream.Block,
	"extensions-missing":    stream.Block,
	"roles-not-creatable":   stream.Block,
	"public-schema-closed":  stream.Block,
	"tablespaces-missing":   stream.Block,
	"older-target":          stream.Warn,
	"encoding-narrower":     stream.Warn,
	"extension-older":       stream.Warn,
	"collation-differs":     stream.Warn,
	"needs-superuser":       stream.Warn,
	"target-locks":          stream.Warn,
	"target-connections":    stream.Warn,
	"roles-to-create":       stream.Note,
	"target-timeouts":       stream.Note,
	"slow-max-wal-size":     stream.Note,
	"slow-wal-level":        stream.Note,
	"slow-maintenance-work": stream.Note,
	"durability-off":        stream.Note,
	"autovacuum-off":        stream.Note,
}

// Check finds what could stop or spoil a restore of what the source needs; nil needs for a look at the target alone. It only
// reads. Without full it looks for what blocks alone. The error is that of a target that could not be asked.
func Check(ctx context.Context, conn *pgsession.Conn, o Options, needs *stream.Needs, full bool) (*stream.Offer, []stream.Finding, error) {
	f := &stream.Findings{Side: "target", Object: conn.Name(), Severities: Severities}
	t := &Target{conn: conn, opts: o, need: map[stream.DumpID]bool{}, warned: map[string]bool{}}
	q, err := pgsession.Connect(ctx, conn, pgsession.Options{Encoding: "UTF8", ReadOnly: true, Patience: o.Patience})
	if err != nil {
		id := "target-unreachable"
		if errors.Is(err, pgsession.ErrPooler) {
			id = "target-pooler"
		}
		f.Failed(id, err)
		return nil, f.List, err
	}
	defer q.End()
	t.control = q
	c := &checking{Target: t, q: q, found: f, needs: needs, full: full}
	steps := []func(context.Context) error{c.state, c.takes}
	if full {
		steps = append(steps, c.room, c.settings, c.differences)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, f.List, pgsession.Explain(err, conn.Name())
		}
	}
	return &stream.Offer{VersionNum: q.VersionNum, Clock: c.clock}, f.List, nil
}

// checking is a check that goes on.
type checking struct {
	*Target
	q     *pgsession.Session
	found *stream.Findings
	needs *stream.Needs // nil where no source was asked
	full  bool
	super bool
	clock time.Duration
}

// state refuses what can take no restore at all.
func (c *checking) state(ctx context.Context) error {
	row, err := c.q.Row(ctx, `SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
		(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
		EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
			AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
			AND classid = hashtext('pgmove')::bigint::bit(32)::bigint::oid AND objid = hashtext('ledger')::bigint::bit(32)::bigint::oid)`)
	if err != nil {
		return err
	}
	c.super = row[2] == "t"
	for _, r := range []struct {
		id    string
		is    bool
		check func() error
	}{
		{"target-busy", row[3] == "t", c.busy},
		{"target-standby", row[0] == "t", func() error {
			return (&stream.Failure{Kind: stream.Preflight, Object: c.conn.Name(), Msg: "it is a standby, which takes no writes"}).WithHint("name the primary")
		}},
		{"target-no-create", row[1] != "t", func() error { return c.mayNotCreate(nil) }},
	} {
		if r.is {
			if err := c.found.Refused(r.id, r.check()); err != nil {
				return err
			}
		}
	}
	return nil
}

// takes refuses what a restore would refuse at its start, by the same functions.
func (c *checking) takes(ctx context.Context) error {
	var entries []stream.Entry
	if c.needs != nil {
		c.source, entries = c.needs.Source, c.needs.Entries
		c.opts.NoOwner, c.opts.NoACL = c.opts.NoOwner || c.source.NoOwner, c.opts.NoACL || c.source.NoACL
	}
	if c.needs != nil {
		// The names are in the source's encoding.
		if err := c.setEncoding(ctx, c.source.Encoding); err != nil {
			if err := c.found.Refused("encoding-impossible", err); err != nil {
				return err
			}
		}
	}
	if err := c.rolesToCreate(ctx); err != nil {
		return err
	}
	for _, r := range []struct {
		id    string
		check func(context.Context, []stream.Entry) error
		needs bool
	}{{"target-not-empty", c.checkEmpty, false}, {"roles-missing", c.checkRoles, true}, {"extensions-missing", c.checkExtensions, true}, {"tablespaces-missing", c.checkTablespaces, true}, {"public-schema-closed", c.checkPublic, true}} {
		if r.needs && c.needs == nil || r.id == "target-not-empty" && c.opts.Clean {
			continue
		}
		if err := r.check(ctx, entries); err != nil {
			if r.id == "roles-missing" && stream.KindOf(err) == stream.Denied {
				r.id = "roles-not-member"
			}
			if err := c.found.Refused(r.id, err); err != nil {
				return err
			}
		}
	}
	return c.q.Do(ctx, "SET client_encoding = 'UTF8'")
}

// checkPublic refuses a target where the roles that are to own objects in schema public may not create any there: who is no superuser
// can't give them these.
func (c *checking) checkPublic(ctx context.Context, entries []stream.Entry) error {
	owners := map[stream.Text]bool{}
	for i := range entries {
		if e := &entries[i]; e.Namespace == "public" {
			owners[stream.Text(c.conn.User())] = true
			if !c.opts.NoOwner {
				owners[e.Owner] = true
			}
		}
	}
	if c.super || len(owners) == 0 {
		return nil
	}
	rows, err := c.q.Rows(ctx, `SELECT r.rolname, pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE'), pg_catalog.has_schema_privilege('public', n.oid, 'CREATE')
		FROM pg_catalog.pg_roles r, pg_catalog.pg_namespace n WHERE n.nspname = 'public'`)
	if err != nil || len(rows) == 0 {
		return err
	}
	open := rows[0][2] == "t" // to all, roles to come among them
	for _, r := range rows {
		if r[1] == "t" {
			delete(owners, stream.Text(r[0]))
		}
	}
	if open || len(owners) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Denied, Object: c.conn.Name(), Msg: "in schema public these roles may not create what they are to own: " + join(owners)}).
		WithHint("GRANT CREATE ON SCHEMA public to them, as on the source, or make one the database's owner; or restore as a superuser, or with --no-owner")
}

// rolesToCreate takes the roles that a restore would create.
func (c *checking) rolesToCreate(ctx context.Context) error {
	if c.needs == nil || c.needs.Roles == nil {
		return nil
	}
	c.TakeRoles(c.needs.Roles)
	rows, err := c.q.Rows(ctx, "SELECT rolname FROM pg_catalog.pg_roles")
	if err != nil {
		return err
	}
	missing := map[stream.Text]bool{}
	for _, name := range c.roleOrder {
		missing[name] = true
	}
	for _, r := range rows {
		delete(missing, stream.Text(r[0]))
	}
	if len(missing) > 0 {
		c.found.Add("roles-to-create", "roles that will be created, without passwords: "+join(missing), "set the passwords of those that log in, after the move")
	}
	row, err := c.q.Row(ctx, "SELECT rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user")
	if err != nil || row[0] == "t" || len(missing) == 0 {
		return err
	}
	return c.found.Refused("roles-not-creatable", (&stream.Failure{Kind: stream.Denied, Object: c.conn.Name(),
		Msg: fmt.Sprintf("role %s may not create roles: %s", c.conn.User(), join(missing))}).WithHint("grant it CREATEROLE, or create the roles by hand"))
}

// sessionsBeside is how many sessions a restore opens beside two for each job: what holds the lock, one that validates and pg_dump's.
const sessionsBeside = 4

// room looks at connections and locks.
func (c *checking) room(ctx context.Context) error {
	room, err := c.q.Room(ctx)
	if err != nil {
		return err
	}
	if c.clock = room.Clock; c.needs != nil && c.needs.Tables > room.Locks {
		c.found.Add("target-locks", fmt.Sprintf("the lock table has room for %d locks, and to compare all %d tables locks them", room.Locks, c.needs.Tables), "raise max_locks_per_transaction")
	}
	jobs := max(c.opts.Sessions/2, 1)
	if need := 3*jobs + sessionsBeside; room.Connections < need {
		c.found.Add("target-connections", fmt.Sprintf("the server takes %d more connections from this role, a restore with its validation opens up to %d", max(room.Connections, 0), need),
			"use fewer --jobs, end idle sessions, or raise max_connections")
	}
	limits, err := c.q.Timeouts(ctx)
	if err == nil && len(limits) > 0 {
		c.found.Add("target-timeouts", "sessions of this role begin with "+strings.Join(limits, ", ")+"; pgmove's own set them to 0", "nothing: unless something else ends long sessions")
	}
	return err
}
