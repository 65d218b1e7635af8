package mytarget

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// left is what an earlier process left in the ledger.
type left struct {
	stream.Prior
	taken stream.Taken
}

// readLedger returns what the ledger holds, nil where there is none. The caller holds the lock.
func (t *Target) readLedger(ctx context.Context) (*left, error) {
	if made, err := t.made(ctx); !made || err != nil {
		return nil, mysession.Explain(err, "the ledger")
	}
	l := &left{taken: stream.Taken{Entries: map[stream.DumpID]bool{}, Early: map[stream.DumpID]bool{}, Chunks: map[stream.Part]stream.Digest{}}}
	if err := t.readInto(ctx, l); err != nil {
		if mysession.Lost(err) || ctx.Err() != nil {
			return nil, mysession.Explain(err, "the ledger")
		}
		return nil, (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(), Msg: "its ledger cannot be read: it was being made or dropped, or another version of pgmove made it", Err: err}).
			WithHint("drop and create the database, then start afresh")
	}
	return l, nil
}

// made reports whether there is a ledger. The run's row is written last of it, and before anything else is made: what there
// is of a ledger without that row is dropped.
func (t *Target) made(ctx context.Context) (bool, error) {
	c := t.control
	rows, err := c.Rows(ctx, "SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'pgmove%'")
	if err != nil {
		return false, err
	}
	var names []string
	for _, r := range rows {
		if !mysession.IsLedger(r[0], r[1]) {
			continue
		}
		names = append(names, mysession.Ident(r[0]))
		if r[0] == runTable {
			if runs, err := c.Rows(ctx, "SELECT run FROM "+runTable); err != nil || len(runs) > 0 {
				return err == nil, err
			}
		}
	}
	if len(names) == 0 {
		return false, nil
	}
	return false, c.Do(ctx, "DROP TABLE "+strings.Join(names, ", "))
}

func (t *Target) readInto(ctx context.Context, l *left) error {
	row, err := t.control.Row(ctx, "SELECT run, epoch FROM "+runTable)
	if err != nil {
		return err
	}
	for name, v := range map[string]any{"header": &l.Header, "prints": &l.Prints, "plan": &l.Plan} {
		if err := t.fact(ctx, name, v); err != nil {
			return err
		}
	}
	if l.Header.Run != row[0] {
		return fmt.Errorf("it is of two runs")
	}
	if t.epoch, err = strconv.ParseInt(row[1], 10, 64); err != nil {
		return err
	}
	rows, err := t.control.Rows(ctx, "SELECT id, part, digest FROM "+takenTable)
	if err != nil {
		return err
	}
	for _, r := range rows {
		id, err := strconv.ParseInt(r[0], 10, 32)
		if err != nil {
			return err
		}
		part, err := strconv.Atoi(r[1])
		if err != nil {
			return err
		}
		if part == entryPart {
			l.taken.Entries[stream.DumpID(id)] = true
			continue
		}
		var d stream.Digest
		if err := d.UnmarshalText([]byte(r[2])); err != nil {
			return err
		}
		l.taken.Chunks[stream.Part{Table: stream.DumpID(id), N: part}] = d
	}
	l.Records = l.taken.Records(l.Plan)
	return nil
}

// fence keeps the process that wrote the ledger, if a session of it still goes on, from writing any more, and
// returns what the ledger then holds; nil where there is none.
func (t *Target) fence(ctx context.Context) (*left, error) {
	l, err := t.readLedger(ctx)
	if l == nil {
		return nil, err
	}
	// What holds the row in share mode commits or fails before this goes on; what comes to it later fails.
	if err := t.control.Do(ctx, "UPDATE "+runTable+" SET epoch = epoch + 1"); err != nil {
		return nil, mysession.Explain(err, "the ledger")
	}
	// A definition that the server still works at, an index above all, is in no transaction.
	if err := t.endOld(ctx, l.Header.Run); err != nil {
		return nil, mysession.Explain(err, t.conn.Name())
	}
	return t.readLedger(ctx)
}

// Left returns what an earlier process of a run left on the target, nil where there is no ledger. It takes the
// lock that keeps other runs off, and fences off that process.
func (t *Target) Left(ctx context.Context) (*stream.Prior, error) {
	if err := t.hold(ctx); err != nil {
		return nil, err
	}
	l, err := t.fence(ctx)
	if err != nil || l == nil {
		return nil, err
	}
	return &l.Prior, nil
}

// Taken returns what the target took before this process; see restore.Resumer.
func (t *Target) Taken() stream.Taken { return t.taken }

// takeOver goes on with a ledger, if there is one. It fences off the process that wrote it, and puts back what comes
// again. Definitions commit by themselves: the run's row, changed last, says that all of that was done, and until then it is done anew.
func (t *Target) takeOver(ctx context.Context, h *stream.Header, entries []stream.Entry, plan []stream.Chunk) (bool, error) {
	l, err := t.fence(ctx)
	if err != nil || l == nil {
		return false, err
	}
	again, err := t.goesOn(l, h, entries)
	if err != nil {
		return false, err
	}
	if err := t.emptied(ctx); err != nil {
		return false, err
	}
	t.taken, t.ledger, t.again = l.taken, true, true
	if err := t.checkLoads(ctx); err != nil {
		return false, mysession.Explain(err, t.conn.Name())
	}
	if err := t.finishClean(ctx, entries); err != nil {
		return false, mysession.Explain(err, t.conn.Name())
	}
	fault.Point("ledger.resume:before")
	b := &putBack{t: t, entries: entries, plan: plan, forget: map[stream.DumpID]bool{}, rows: map[stream.DumpID]bool{}}
	if err := b.run(ctx, again, l.Header.Run != h.Run); err != nil {
		if mysession.Lost(err) || ctx.Err() != nil {
			return false, mysession.Explain(err, t.conn.Name())
		}
		return false, (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(), Msg: "what must be loaded again could not be put back", Err: mysession.Explain(err, "the ledger")}).
			WithHint("drop and create the database, then start afresh")
	}
	err = t.inTransaction(ctx, func() error {
		if err := t.control.Do(ctx, fmt.Sprintf("UPDATE %s SET run = %s, snapshot = %s", runTable, mysession.Literal(h.Run), mysession.Literal(h.Source.Snapshot))); err != nil {
			return err
		}
		return t.putFacts(ctx, map[string]any{"header": h, "prints": stream.Prints(entries)})
	})
	fault.Point("ledger.resume:after")
	return true, mysession.Explain(err, "the ledger")
}

// goesOn returns what comes again where the archive goes on from the ledger's run, else why it can't.
func (t *Target) goesOn(l *left, h *stream.Header, entries []stream.Entry) ([]stream.DumpID, error) {
	again, ok := h.Since(l.Header.Run)
	switch {
	case !ok:
		return nil, (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(),
			Msg: fmt.Sprintf("what it holds is of another run (%s) than what is to be restored (%s)", stream.Text(l.Header.Run).Display(), stream.Text(h.Run).Display())}).
			WithHint("give the source and the archive that the run began with; else drop and create the database, and start afresh")
	case l.Header.Live != h.Live:
		return nil, (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(), Msg: "the run began with another --via"}).
			WithHint("give --via as it was given at first; else drop and create the database, and start afresh")
	}
	if err := h.Source.Selection.Same(&l.Header.Source.Selection); err != nil {
		return nil, err
	}
	return again, stream.SameSchema(l.Prints, stream.Prints(entries))
}

// putBack empties the tables whose rows come again, and takes back what depends on rows.
type putBack struct {
	t       *Target
	entries []stream.Entry
	plan    []stream.Chunk
	forget  map[stream.DumpID]bool // entries
	rows    map[stream.DumpID]bool // data entries
	tables  []string
	drops   []string
}

// run puts back. Of tables of engines without transactions rows may be there that the ledger doesn't have: they come again
// whole, unless they are complete. anew says that the run has another snapshot: sequences' values are not part of any.
func (b *putBack) run(ctx context.Context, again []stream.DumpID, anew bool) error {
	t := b.t
	if !t.source.Selection.Has(stream.Data) {
		again = nil // the rows are another step's
	}
	for _, id := range again {
		b.rows[id] = true
	}
	loose, err := t.loose(ctx, b.entries, b.plan)
	if err != nil {
		return err
	}
	for _, id := range loose {
		b.rows[id] = true
	}
	tables := map[stream.DumpID]bool{}
	for id := range b.rows {
		e := t.byID[id]
		if e == nil || e.Table == nil || len(e.Dependencies) == 0 {
			return fmt.Errorf("entry %d, whose rows are to come again, has none", id)
		}
		tables[e.Dependencies[0]] = true
		if t.taken.Entries[e.Dependencies[0]] || !t.source.Selection.Has(stream.PreData) { // or it was there before
			b.tables = append(b.tables, string(e.Table.Name))
		}
	}
	for i := range b.entries {
		b.entry(&b.entries[i], tables, anew)
	}
	for p := range t.taken.Chunks {
		if b.rows[p.Table] {
			delete(t.taken.Chunks, p)
		}
	}
	for id := range b.forget {
		delete(t.taken.Entries, id)
	}
	return b.apply(ctx)
}

// entry decides what becomes of an entry: what rows would fire goes; what else depends on rows is looked at again.
func (b *putBack) entry(e *stream.Entry, tables map[stream.DumpID]bool, anew bool) {
	if !b.t.source.Selection.Wants(e) {
		return
	}
	touched := false
	for _, id := range append(append([]stream.DumpID(nil), e.Locks...), e.Dependencies...) {
		touched = touched || tables[id]
	}
	switch {
	case e.Section == stream.Sequences && (anew || touched):
		b.forget[e.ID] = true // emptying a table sets it back
	case e.Desc == "FK CONSTRAINT" && touched:
		b.forget[e.ID] = true
	case e.Desc == "TRIGGER" && touched, e.Desc == "EVENT" && len(tables) > 0:
		b.forget[e.ID] = true
		b.drops = append(b.drops, "DROP "+string(e.Desc)+" IF EXISTS "+mysession.Ident(string(e.Tag)))
	}
}

func (b *putBack) apply(ctx context.Context) error {
	c := b.t.control
	var sqls []string
	if len(b.forget) > 0 {
		sqls = append(sqls, fmt.Sprintf("DELETE FROM %s WHERE part = %d AND id IN (%s)", takenTable, entryPart, idList(b.forget)))
	}
	if len(b.rows) > 0 {
		sqls = append(sqls, fmt.Sprintf("DELETE FROM %s WHERE part >= 0 AND id IN (%s)", takenTable, idList(b.rows)))
	}
	for _, sql := range append(sqls, b.drops...) {
		if err := c.Do(ctx, sql); err != nil {
			return err
		}
	}
	for _, name := range b.tables {
		if err := empty(ctx, c, name); err != nil {
			return err
		}
	}
	return nil
}

const errVersioned = 4137 // ER_VERS_NOT_SUPPORTED, of TRUNCATE

// empty empties a table, also of rows with a past.
func empty(ctx context.Context, s *mysession.Session, name string) error {
	err := s.Do(ctx, "TRUNCATE TABLE "+mysession.Ident(name))
	if mysession.Code(err) != errVersioned {
		return err
	}
	if err := s.Do(ctx, "DELETE FROM "+mysession.Ident(name)); err != nil {
		return err
	}
	return s.Do(ctx, "DELETE HISTORY FROM "+mysession.Ident(name))
}

// loose returns the data entries of tables without transactions that were not loaded whole.
func (t *Target) loose(ctx context.Context, entries []stream.Entry, plan []stream.Chunk) ([]stream.DumpID, error) {
	missing := map[stream.DumpID]bool{}
	for i := range plan {
		if _, ok := t.taken.Chunks[plan[i].Part()]; !ok {
			missing[plan[i].Table] = true
		}
	}
	rows, err := t.control.Rows(ctx, `SELECT TABLE_NAME FROM information_schema.TABLES t JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
		WHERE TABLE_SCHEMA = DATABASE() AND e.TRANSACTIONS = 'NO'`)
	if err != nil {
		return nil, err
	}
	without := map[string]bool{}
	for _, r := range rows {
		without[r[0]] = true
	}
	var out []stream.DumpID
	for i := range entries {
		e := &entries[i]
		if e.Table != nil && without[string(e.Table.Name)] && missing[e.ID] {
			out = append(out, e.ID)
		}
	}
	return out, nil
}

func idList(ids map[stream.DumpID]bool) string {
	s := make([]string, 0, len(ids))
	for id := range ids {
		s = append(s, fmt.Sprint(id))
	}
	return strings.Join(s, ", ")
}
