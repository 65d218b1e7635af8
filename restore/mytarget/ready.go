package mytarget

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// A step that doesn't make the tables finds them on the target: made by an earlier step, or by whatever else makes a schema there. All
// that the step needs is looked at before anything is touched.

// checkReady refuses a target that hasn't what the sections that are moved need, or has already what they make.
func (t *Target) checkReady(ctx context.Context, entries []stream.Entry) error {
	if err := t.checkLoads(ctx); err != nil {
		return err
	}
	if err := t.checkNoLedger(ctx); err != nil {
		return err
	}
	tables, err := t.tablesThere(ctx)
	if err != nil {
		return err
	}
	if err := t.checkTables(entries, tables); err != nil {
		return err
	}
	if t.source.Selection.Has(stream.Data) {
		if err := t.checkCharsets(ctx, entries); err != nil {
			return err
		}
		if err := t.checkTriggers(ctx, entries); err != nil {
			return err
		}
		if err := t.checkNoRows(ctx, entries, tables); err != nil {
			return err
		}
	}
	if t.source.Selection.Has(stream.PostData) {
		return t.checkNoPostData(ctx, entries)
	}
	return nil
}

// prepareStep notes what must be known of tables that the run finds there, whether it begins or goes on.
func (t *Target) prepareStep(ctx context.Context, entries []stream.Entry) error {
	sel := &t.source.Selection
	if !sel.Has(stream.Data) || sel.Has(stream.PreData) {
		return nil
	}
	rows, err := t.control.Rows(ctx, "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE <> 'VIEW'")
	if err != nil {
		return err
	}
	t.engines = map[string]string{}
	for _, r := range rows {
		t.engines[r[0]] = r[1]
	}
	t.filled = nil
	for i := range entries {
		if e := &entries[i]; t.loads(e) {
			t.filled = append(t.filled, string(e.Tag))
		}
	}
	if !t.opts.Resume {
		return nil
	}
	return t.checkTriggers(ctx, entries) // which what goes on would not look at
}

// Hold refuses a target that another run holds.
func (t *Target) Hold(ctx context.Context) error { return t.hold(ctx) }

// CheckFree refuses a target that another run holds, or where one began and did not finish.
func (t *Target) CheckFree(ctx context.Context) error {
	if err := t.hold(ctx); err != nil {
		return err
	}
	return mysession.Explain(t.checkNoLedger(ctx), t.conn.Name())
}

func (t *Target) checkNoLedger(ctx context.Context) error {
	names, err := t.ledgerTables(ctx)
	if err != nil || len(names) == 0 {
		return err
	}
	return t.unready("a pgmove run began there and did not finish").
		WithHint("run that one again with --resume to go on where it stopped; or drop and create the database, and begin with the first step")
}

// ledgerTables are the tables of a ledger, whole or not.
func (t *Target) ledgerTables(ctx context.Context) ([]string, error) {
	rows, err := t.control.Rows(ctx, "SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'pgmove%'")
	var names []string
	for _, r := range rows {
		if mysession.IsLedger(r[0], r[1]) {
			names = append(names, r[0])
		}
	}
	return names, err
}

func (t *Target) unready(format string, args ...any) *stream.Failure {
	return &stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: fmt.Sprintf(format, args...)}
}

// found is a table or a sequence on the target.
type found struct {
	versioned bool
	columns   map[string]bool // by name in lower case: whether it is generated
}

// tablesThere lists the target's tables and sequences by name.
func (t *Target) tablesThere(ctx context.Context) (map[string]*found, error) {
	rows, err := t.control.Rows(ctx, "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE <> 'VIEW'")
	if err != nil {
		return nil, err
	}
	tables := map[string]*found{}
	for _, r := range rows {
		f := &found{versioned: r[1] == "SYSTEM VERSIONED", columns: map[string]bool{}}
		if f.versioned {
			f.columns["row_start"], f.columns["row_end"] = false, false // which the server doesn't list where they are its own
		}
		tables[r[0]] = f
	}
	rows, err = t.control.Rows(ctx, `SELECT TABLE_NAME, COLUMN_NAME, EXTRA, COALESCE(GENERATION_EXPRESSION, '') FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()`)
	for _, r := range rows {
		if f := tables[r[0]]; f != nil {
			extra, expr := strings.ToUpper(r[2]), strings.ToUpper(r[3])
			period := expr == "ROW START" || expr == "ROW END"
			f.columns[strings.ToLower(r[1])] = !period && (expr != "" || strings.Contains(extra, "VIRTUAL GENERATED") || strings.Contains(extra, "STORED GENERATED") || strings.Contains(extra, "PERSISTENT"))
		}
	}
	return tables, err
}

// loads reports whether an entry brings rows that are moved.
func (t *Target) loads(e *stream.Entry) bool { return e.Table != nil && t.source.Selection.Wants(e) }

// checkTables refuses a target without tables that rows go into, or that post-data is for, or without their columns.
func (t *Target) checkTables(entries []stream.Entry, tables map[string]*found) error {
	need := map[stream.DumpID]bool{}
	for i := range entries {
		if e := &entries[i]; e.Table == nil && t.source.Selection.Wants(e) {
			for _, d := range e.Dependencies {
				need[d] = true
			}
		}
	}
	missing, computed := map[string]bool{}, map[string]bool{}
	for i := range entries {
		e := &entries[i]
		f := tables[string(e.Tag)]
		switch {
		case t.loads(e) && f != nil:
			for _, c := range e.Table.Columns {
				generated, ok := f.columns[strings.ToLower(string(c))]
				if !ok {
					missing[string(e.Tag+"."+c)] = true
				} else if generated {
					computed[string(e.Tag+"."+c)] = true
				}
			}
		case f == nil && (t.loads(e) || (e.Desc == "TABLE" || e.Desc == "SEQUENCE") && need[e.ID]):
			missing[string(e.Tag)] = true
		}
	}
	if len(missing) > 0 {
		return t.unready("tables or columns are missing on the target: %s", list(missing)).WithHint("load --section pre-data first")
	}
	if len(computed) > 0 {
		return t.unready("columns are generated on the target, and take no values: %s", list(computed)).WithHint("make them as they are on the source, or load --section pre-data first")
	}
	return nil
}

// checkCharsets refuses columns with another charset than on the source: text is loaded by its bytes, which would be other letters, and no
// comparison of bytes would tell.
func (t *Target) checkCharsets(ctx context.Context, entries []stream.Entry) error {
	made := map[stream.Text]*stream.Entry{}
	other := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if e.Desc == "TABLE" {
			made[e.Tag] = e
		}
		if !t.loads(e) || len(e.Table.Columns) == 0 || made[e.Tag] == nil {
			continue
		}
		row, err := t.control.Row(ctx, "SHOW CREATE TABLE "+mysession.Ident(string(e.Tag)))
		if err != nil {
			return err
		}
		here, there := mysession.ColumnCharsets(string(made[e.Tag].Defn)), mysession.ColumnCharsets(row[1])
		for _, c := range e.Table.Columns {
			if n := strings.ToLower(string(c)); here[n] != there[n] {
				other[fmt.Sprintf("%s.%s (%s, on the target %s)", e.Tag, c, none(here[n]), none(there[n]))] = true
			}
		}
	}
	if len(other) == 0 {
		return nil
	}
	return t.unready("columns have another charset on the target, and text is loaded by its bytes: %s", list(other)).
		WithHint("make them as they are on the source, or load --section pre-data first; what is loaded can be converted")
}

func none(charset string) string {
	if charset == "" {
		return "none"
	}
	return charset
}

// checkNoRows refuses tables that have rows already.
func (t *Target) checkNoRows(ctx context.Context, entries []stream.Entry, tables map[string]*found) error {
	var names []string
	for i := range entries {
		if e := &entries[i]; t.loads(e) {
			names = append(names, string(e.Tag))
		}
	}
	full := map[string]bool{}
	for part := range slices.Chunk(names, 50) {
		var q []string
		for _, n := range part {
			from := mysession.Ident(n)
			if tables[n].versioned {
				from += " FOR SYSTEM_TIME ALL"
			}
			q = append(q, fmt.Sprintf("(SELECT %s AS t FROM %s LIMIT 1)", mysession.Literal(n), from))
		}
		rows, err := t.control.Rows(ctx, strings.Join(q, " UNION ALL "))
		if err != nil {
			return err
		}
		for _, r := range rows {
			full[r[0]] = true
		}
	}
	if len(full) == 0 {
		return nil
	}
	return t.unready("tables are not empty on the target: %s", list(full)).
		WithHint("empty them there, if their rows are not needed; if this step has ended already, go on with the next")
}

// own are the archive's entries of a kind, by name, that this run may have made when it resumes. When it began there were none of
// them: they come after the rows of their tables, and go before these come again.
func (t *Target) own(desc stream.Text, entries []stream.Entry) map[string]bool {
	own := map[string]bool{}
	for i := range entries {
		if e := &entries[i]; e.Desc == desc && t.opts.Resume && t.source.Selection.Wants(e) {
			own[string(e.Tag)] = true
		}
	}
	return own
}

// seesTriggers refuses an account to which the server shows no triggers: they would be taken for none.
func (t *Target) seesTriggers(ctx context.Context) error {
	p, err := t.control.Grants(ctx)
	if err != nil || p.Has("TRIGGER") {
		return err
	}
	return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(), Msg: fmt.Sprintf("the account %s lacks TRIGGER on the database, and is not shown which triggers its tables have", stream.Text(t.conn.User()).Display())}).
		WithHint("GRANT ALL PRIVILEGES ON the database to it; the move needs nothing beyond it")
}

// checkTriggers refuses tables whose triggers would fire as rows come: what they do was done on the source. The server can't switch
// them off for a session.
func (t *Target) checkTriggers(ctx context.Context, entries []stream.Entry) error {
	if err := t.seesTriggers(ctx); err != nil {
		return err
	}
	rows, err := t.control.Rows(ctx, "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND EVENT_MANIPULATION = 'INSERT'")
	if err != nil {
		return err
	}
	into := map[string]bool{}
	for i := range entries {
		if e := &entries[i]; t.loads(e) {
			into[string(e.Tag)] = true
		}
	}
	fire, own := map[string]bool{}, t.own("TRIGGER", entries)
	for _, r := range rows {
		if into[r[0]] && !own[r[1]] {
			fire[r[0]+" "+r[1]] = true
		}
	}
	if len(fire) == 0 {
		return nil
	}
	return t.unready("triggers on the target would fire for rows that are moved: %s", list(fire)).
		WithHint("load the rows before --section post-data; or drop these triggers meanwhile: MySQL and MariaDB cannot switch them off")
}
