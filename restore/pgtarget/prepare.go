package pgtarget

import (
	"context"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// Prepare refuses a target that could not take the entries, and then makes the ledger.
func (t *Target) Prepare(ctx context.Context, h *stream.Header, entries []stream.Entry, plan []stream.Chunk) error {
	return t.prepare(ctx, h, entries, plan, false)
}

// Check refuses what Prepare would refuse, and changes nothing.
func (t *Target) Check(ctx context.Context, h *stream.Header, entries []stream.Entry, plan []stream.Chunk) error {
	return t.prepare(ctx, h, entries, plan, true)
}

func (t *Target) prepare(ctx context.Context, h *stream.Header, entries []stream.Entry, plan []stream.Chunk, dry bool) error {
	t.source, t.run = h.Source, h.Run
	t.opts.NoOwner = t.opts.NoOwner || h.Source.NoOwner
	t.opts.NoACL = t.opts.NoACL || h.Source.NoACL
	if h.Engine != "postgresql" {
		return stream.Fail(stream.Preflight, "an archive of %s cannot be restored to PostgreSQL", h.Engine)
	}
	t.byID = make(map[stream.DumpID]*stream.Entry, len(entries))
	for i := range entries {
		t.byID[entries[i].ID] = &entries[i]
	}
	if err := t.reconnect(ctx); err != nil {
		return err
	}
	if err := t.setEncoding(ctx, h.Source.Encoding); err != nil {
		return err
	}
	if err := t.hold(ctx); err != nil {
		return err
	}
	if h.Source.Selection.Has(stream.Data) && !h.Source.Selection.Has(stream.PreData) {
		if err := t.readKeys(ctx, entries, plan); err != nil {
			return pgsession.Explain(err, t.conn.Name())
		}
		if t.opts.Resume {
			// What goes on is not looked at by checkReady, and may have been begun with triggers switched off.
			tables, err := t.tablesThere(ctx)
			if err == nil {
				err = t.checkTriggers(ctx, entries, tables)
			}
			if err != nil {
				return pgsession.Explain(err, t.conn.Name())
			}
		}
	}
	if err := t.keepSchemas(ctx); err != nil {
		return pgsession.Explain(err, t.conn.Name())
	}
	if t.opts.Resume && !dry {
		if resumed, err := t.takeOver(ctx, h, entries); resumed || err != nil {
			return err
		}
	}
	checks := []func(context.Context, []stream.Entry) error{t.checkEmpty, t.checkRoles, t.checkExtensions, t.checkTablespaces}
	switch {
	case t.opts.Clean:
		checks = checks[1:]
	case !h.Source.Selection.Has(stream.PreData):
		checks = checks[:1]
		checks[0] = t.checkReady
	}
	for _, check := range checks {
		if err := check(ctx, entries); err != nil {
			return pgsession.Explain(err, t.conn.Name())
		}
	}
	// What clean drops goes with the ledger's transaction, which roles are no part of: it is tried first, so that nothing is
	// created where it refuses.
	if t.opts.Clean && !dry && t.roles != nil {
		if err := t.clean(ctx, entries); err != nil {
			return err
		}
		t.rollback(ctx)
	}
	if !dry && h.Source.Selection.Has(stream.PreData) {
		if err := t.createRoles(ctx, entries); err != nil {
			return pgsession.Explain(err, t.conn.Name())
		}
	}
	if t.opts.Clean {
		if err := t.clean(ctx, entries); err != nil {
			return err
		}
	}
	if dry {
		t.rollback(ctx)
		return nil
	}
	return t.makeLedger(ctx, h, entries, plan)
}
