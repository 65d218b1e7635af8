package mytarget

import (
	"context"
	"fmt"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Severities are the findings that Check knows; docs/check.md says what each means.
var Severities = map[string]stream.Severity{
	"target-unreachable":     stream.Block,
	"target-too-old":         stream.Block,
	"target-busy":            stream.Block,
	"local-infile-off":       stream.Block,
	"target-read-only":       stream.Block,
	"target-not-empty":       stream.Block,
	"kinds-missing":          stream.Block,
	"names-lowered":          stream.Block,
	"target-privileges":      stream.Block,
	"functions-not-trusted":  stream.Block,
	"definers-denied":        stream.Block,
	"routines-not-readable":  stream.Block,
	"collations-missing":     stream.Block,
	"time-zones-missing":     stream.Block,
	"sql-modes-missing":      stream.Block,
	"primary-key-required":   stream.Block,
	"versioned-tables":       stream.Block,
	"definers-missing":       stream.Warn,
	"older-target":           stream.Warn,
	"name-case-differs":      stream.Warn,
	"settings-differ":        stream.Warn,
	"programs-name-database": stream.Warn,
	"page-size-smaller":      stream.Warn,
	"events-will-run":        stream.Warn,
	"target-replica":         stream.Warn,
	"target-connections":     stream.Warn,
	"slow-binary-log":        stream.Note,
	"slow-buffer-pool":       stream.Note,
	"slow-redo-log":          stream.Note,
	"durability-off":         stream.Note,
}

// Check finds what could stop or spoil a restore of what the source needs; nil needs for a look at the target alone. It changes
// nothing but settings of its own session. Without full it looks for what blocks alone. The error is that of a target that could not be asked.
func Check(ctx context.Context, conn *mysession.Conn, o Options, needs *stream.Needs, full bool) (*stream.Offer, []stream.Finding, error) {
	f := &stream.Findings{Side: "target", Object: conn.Name(), Severities: Severities}
	t := &Target{conn: conn, opts: o, warned: map[string]bool{}}
	s, err := t.session(ctx)
	if err != nil {
		f.Failed("target-unreachable", err)
		return nil, f.List, err
	}
	defer s.End()
	t.control = s
	c := &checking{Target: t, q: s, found: f, needs: needs}
	if c.whole = needs != nil; !c.whole {
		c.needs = &stream.Needs{}
	}
	if err := t.checkVersion(ctx); err != nil {
		return nil, f.List, f.Refused("target-too-old", err) // its catalogs are others
	}
	steps := []func(context.Context) error{c.state, c.takes, c.accounts, c.keys}
	blocking := len(steps)
	if full {
		steps = append(steps, c.room, c.settings, c.differences)
	}
	for i, step := range steps {
		// What the account may not look up is left out, where that doesn't matter.
		if err := step(ctx); err != nil && !(mysession.Denied(err) && i >= blocking) {
			return nil, f.List, mysession.Explain(err, conn.Name())
		}
	}
	return &stream.Offer{VersionNum: s.Version.Num, Clock: c.clock}, f.List, nil
}

// checking is a check that goes on.
type checking struct {
	*Target
	q     *mysession.Session
	found *stream.Findings
	needs *stream.Needs
	whole bool // a source was asked
	is    map[string]string
	clock time.Duration
}

// refused adds the finding of a check that a restore makes too.
func (c *checking) refused(ctx context.Context, id string, check func(context.Context) error) error {
	if err := check(ctx); err != nil {
		return c.found.Refused(id, err)
	}
	return nil
}

// state refuses what can take no restore at all, by the functions that a restore refuses it by.
func (c *checking) state(ctx context.Context) error {
	for _, r := range []struct {
		id    string
		check func(context.Context) error
	}{{"target-busy", c.held}, {"local-infile-off", c.checkLocal}, {"target-read-only", c.checkWritable}, {"target-not-empty", c.checkOccupants}} {
		if sel := &c.needs.Source.Selection; r.id == "target-not-empty" && (c.opts.Clean || !sel.Has(stream.PreData)) {
			continue
		}
		if err := c.refused(ctx, r.id, r.check); err != nil {
			return err
		}
	}
	return nil
}

// held refuses a target that another run holds, and doesn't hold it itself.
func (c *checking) held(ctx context.Context) error {
	row, err := c.q.Row(ctx, "SELECT IS_USED_LOCK("+mysession.Literal(c.lockName())+") IS NOT NULL")
	if err == nil && row[0] == "1" {
		err = c.busy()
	}
	return err
}

// takes refuses what a restore would refuse before it begins, by the same functions.
func (c *checking) takes(ctx context.Context) error {
	for _, r := range []struct {
		id    string
		check func(context.Context, []stream.Entry) error
	}{{"kinds-missing", c.checkKinds}, {"names-lowered", c.checkNames}} {
		if err := r.check(ctx, c.needs.Entries); err != nil {
			if err := c.found.Refused(r.id, err); err != nil {
				return err
			}
		}
	}
	unknown, err := c.unknown(ctx, c.needs.Entries, c.needs.Collations)
	if err != nil {
		return err
	}
	for _, u := range unknown {
		if err := c.found.Refused(u.id, u.err); err != nil {
			return err
		}
	}
	if v := c.q.Version; len(c.needs.Versioned) > 0 && v.MariaDB && v.Num < 10110000 {
		return c.found.Refused("versioned-tables", (&stream.Failure{Kind: stream.Preflight, Object: c.conn.Name(),
			Msg: fmt.Sprintf("%s takes no rows with a past, and these tables have them: %s", v.Name(), stream.First(c.needs.Versioned))}).
			WithHint("move to MariaDB 10.11 or newer, or ALTER TABLE … DROP SYSTEM VERSIONING on the source"))
	}
	return nil
}

// accounts refuses an account that could not make everything.
func (c *checking) accounts(ctx context.Context) error {
	a, err := c.asked(ctx, c.needs.Entries)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		id    string
		check func(context.Context, *asked) error
	}{{"target-privileges", c.checkGrants}, {"functions-not-trusted", c.checkLogged}, {"definers-denied", c.checkDefiners}, {"routines-not-readable", c.checkReadBack}} {
		if err := r.check(ctx, a); err != nil {
			if err := c.found.Refused(r.id, err); err != nil {
				return err
			}
		}
	}
	gone, err := c.strangers(ctx, a)
	if len(gone) > 0 {
		c.found.Add("definers-missing", strangersText(gone), "create these accounts, or give --definer strip or --definer USER@HOST")
	}
	return err
}

// keys refuses tables without a primary key where the server does.
func (c *checking) keys(ctx context.Context) (err error) {
	if c.is, err = c.q.Settings(ctx); err != nil || len(c.needs.Keyless) == 0 {
		return err
	}
	for _, name := range []string{"innodb_force_primary_key", "sql_require_primary_key", "sql_generate_invisible_primary_key"} {
		if c.is[name] == "ON" {
			return c.found.Refused("primary-key-required", c.keyless(name, stream.First(c.needs.Keyless)))
		}
	}
	return nil
}
