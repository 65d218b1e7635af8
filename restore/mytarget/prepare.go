package mytarget

import (
	"context"

	"github.com/pgmove/pgmove/internal/mysession"
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
	if h.Engine != Engine {
		return stream.Fail(stream.Preflight, "an archive of %s cannot be restored to MySQL or MariaDB", stream.Text(h.Engine).Display())
	}
	t.byID = make(map[stream.DumpID]*stream.Entry, len(entries))
	for i := range entries {
		t.byID[entries[i].ID] = &entries[i]
	}
	if err := t.hold(ctx); err != nil {
		return err
	}
	if !h.Source.Selection.Has(stream.Data) {
		plan = nil // no rows come, and none come again
	}
	if err := t.prepareStep(ctx, entries); err != nil {
		return mysession.Explain(err, t.conn.Name())
	}
	if t.opts.Resume && !dry {
		if resumed, err := t.takeOver(ctx, h, entries, plan); resumed || err != nil {
			return err
		}
	}
	first := t.checkEmpty
	switch {
	case t.opts.Clean:
		first = t.checkCleanable
	case !h.Source.Selection.Has(stream.PreData):
		first = t.checkReady
	}
	if err := first(ctx, entries); err != nil {
		return mysession.Explain(err, t.conn.Name())
	}
	for _, check := range []func(context.Context, []stream.Entry) error{t.checkKinds, t.checkOtherKind, t.checkPrimaryKeys, t.checkNames, t.checkPrivileges, t.checkSettings} {
		if err := check(ctx, t.wanted(entries)); err != nil {
			return mysession.Explain(err, t.conn.Name())
		}
	}
	if dry {
		return nil
	}
	if t.opts.Clean {
		if err := t.replaceLedger(ctx); err != nil {
			return mysession.Explain(err, t.conn.Name())
		}
	}
	if err := t.makeLedger(ctx, h, entries, plan); err != nil || len(t.drops) == 0 {
		return err
	}
	return t.drop(ctx, t.drops)
}

// checkCleanable lists what --clean is to drop, and refuses what stands against that.
func (t *Target) checkCleanable(ctx context.Context, entries []stream.Entry) (err error) {
	if err := t.checkLoads(ctx); err != nil {
		return err
	}
	if t.drops, err = t.toClean(ctx, entries); err != nil {
		return err
	}
	return t.lockable(ctx, t.drops)
}

// checkEmpty is CheckEmpty for prepare.
func (t *Target) checkEmpty(ctx context.Context, _ []stream.Entry) error { return t.CheckEmpty(ctx) }

// wanted are the entries that are moved.
func (t *Target) wanted(entries []stream.Entry) []stream.Entry {
	if len(t.source.Selection.Sections) == 0 {
		return entries
	}
	var out []stream.Entry
	for i := range entries {
		if t.source.Selection.Wants(&entries[i]) {
			out = append(out, entries[i])
		}
	}
	return out
}
