package pgtarget

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// A step that doesn't make the tables finds them on the target: made by an earlier step, or by whatever else makes a schema there. All
// that the step needs is looked at before anything is touched.

// checkReady refuses a target that hasn't what the sections that are moved need, or has already what they make.
func (t *Target) checkReady(ctx context.Context, entries []stream.Entry) error {
	if err := t.checkNoLedger(ctx); err != nil {
		return err
	}
	tables, err := t.tablesThere(ctx)
	if err != nil {
		return err
	}
	if err := t.checkTables(ctx, entries, tables); err != nil {
		return err
	}
	if t.source.Selection.Has(stream.Data) {
		if err := t.checkTriggers(ctx, entries, tables); err != nil {
			return err
		}
		if err := t.checkNoRows(ctx, entries); err != nil {
			return err
		}
		if err := t.checkNoBlobs(ctx, entries); err != nil {
			return err
		}
	}
	if t.source.Selection.Has(stream.PostData) {
		return t.checkNoPostData(ctx, entries)
	}
	return nil
}

// CheckFree refuses a target that another run holds, or where one began and did not finish.
func (t *Target) CheckFree(ctx context.Context) error {
	if err := t.hold(ctx); err != nil {
		return err
	}
	return pgsession.Explain(t.checkNoLedger(ctx), t.conn.Name())
}

func (t *Target) checkNoLedger(ctx context.Context) error {
	row, err := t.control.Row(ctx, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'pgmove'")
	if err != nil || row == nil {
		return err
	}
	if t.hasEnded(ctx) {
		return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "a pgmove run ended there, and its ledger was kept"}).
			WithHint("drop schema pgmove there, then begin the next step")
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "a pgmove run began there and did not finish"}).
		WithHint("run that one again with --resume to go on where it stopped; or drop and create the database, and begin with the first step")
}

// found is a table on the target.
type found struct {
	oid     string
	columns map[string]bool
}

// tablesThere lists the target's tables by namespace and name.
func (t *Target) tablesThere(ctx context.Context) (map[[2]stream.Text]*found, error) {
	rows, err := t.control.Rows(ctx, `SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`)
	if err != nil {
		return nil, err
	}
	tables, byOID := map[[2]stream.Text]*found{}, map[string]*found{}
	for _, r := range rows {
		f := &found{oid: r[0], columns: map[string]bool{}}
		tables[[2]stream.Text{stream.Text(r[1]), stream.Text(r[2])}], byOID[r[0]] = f, f
	}
	rows, err = t.control.Rows(ctx, `SELECT a.attrelid, a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
		WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')`)
	for _, r := range rows {
		if f := byOID[r[0]]; f != nil {
			f.columns[r[1]] = true
		}
	}
	return tables, err
}

// loads reports whether an entry brings rows of a table.
func loads(e *stream.Entry) bool { return e.Table != nil && !e.Table.LargeObjects }

// checkTables refuses a target without tables that rows go into, or that post-data is for.
func (t *Target) checkTables(_ context.Context, entries []stream.Entry, tables map[[2]stream.Text]*found) error {
	need := map[stream.DumpID]bool{}
	sel := &t.source.Selection
	for i := range entries {
		if e := &entries[i]; e.Section == stream.PostData && sel.Wants(e) {
			for _, d := range e.Dependencies {
				need[d] = true
			}
		}
	}
	missing := map[stream.Text]bool{}
	for i := range entries {
		e := &entries[i]
		key := [2]stream.Text{e.Namespace, e.Tag}
		switch {
		case loads(e) && sel.Wants(e):
			f := tables[key]
			if f == nil {
				missing[e.Namespace+"."+e.Tag] = true
				continue
			}
			for _, c := range e.Table.Columns {
				if !f.columns[string(c)] && e.Table.Root == 0 {
					missing[e.Namespace+"."+e.Tag+"."+c] = true
				}
			}
		case e.Desc == "TABLE" && need[e.ID] && tables[key] == nil:
			missing[e.Namespace+"."+e.Tag] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return t.unready("tables or columns are missing on the target: %s", some(missing)).WithHint("load --section pre-data first")
}

func (t *Target) unready(format string, args ...any) *stream.Failure {
	return &stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: fmt.Sprintf(format, args...)}
}

// some names the first of a set.
func some(set map[stream.Text]bool) string {
	names := sorted(set)
	if n := len(names) - 20; n > 0 {
		names = append(names[:20], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(names, ", ")
}

// checkNoRows refuses tables that have rows already.
func (t *Target) checkNoRows(ctx context.Context, entries []stream.Entry) error {
	var list []*stream.Entry
	for i := range entries {
		if loads(&entries[i]) {
			list = append(list, &entries[i])
		}
	}
	full := map[stream.Text]bool{}
	for part := range slices.Chunk(list, 200) {
		var q []string
		for i, e := range part {
			q = append(q, fmt.Sprintf("SELECT %d WHERE EXISTS (SELECT FROM ONLY %s %s)", i, pgsession.Qualified(string(e.Namespace), string(e.Tag)), e.Table.Filter))
		}
		rows, err := t.control.Rows(ctx, strings.Join(q, " UNION ALL "))
		if err != nil {
			return err
		}
		for _, r := range rows {
			e := part[parseOID(r[0])]
			full[e.Namespace+"."+e.Tag] = true
		}
	}
	if len(full) == 0 {
		return nil
	}
	return t.unready("tables are not empty on the target: %s", some(full)).
		WithHint("empty them there, if their rows are not needed; if this step has ended already, go on with the next")
}

// checkNoBlobs refuses a target that has large objects which are to be made.
func (t *Target) checkNoBlobs(ctx context.Context, entries []stream.Entry) error {
	oids := blobsOf(entries)
	there := map[stream.Text]bool{}
	for part := range slices.Chunk(oids, 1000) {
		rows, err := t.control.Rows(ctx, "SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE oid IN ("+strings.Join(part, ", ")+")")
		if err != nil {
			return err
		}
		for _, r := range rows {
			there[stream.Text(r[0])] = true
		}
	}
	if len(there) == 0 {
		return nil
	}
	return t.unready("large objects that are to be moved are on the target already: %s", some(there)).
		WithHint("unlink them there, if they are not needed")
}

// blobsOf lists the OIDs of the archive's large objects.
func blobsOf(entries []stream.Entry) []string {
	var oids []string
	for i := range entries {
		var list []string
		switch e := &entries[i]; e.Desc {
		case "BLOB":
			list = []string{string(e.Tag)}
		case "BLOB METADATA":
			list = strings.Fields(string(e.Defn))
		}
		for _, o := range list {
			oids = append(oids, fmt.Sprint(parseOID(o)))
		}
	}
	return oids
}

// attached lists what belongs to tables: kind, schema, and the name as a tag of pg_dump has it.
const attached = `SELECT 'INDEX', n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('i', 'I') AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x'))
	UNION ALL SELECT CASE k.contype WHEN 'f' THEN 'FK CONSTRAINT' WHEN 'c' THEN 'CHECK CONSTRAINT' ELSE 'CONSTRAINT' END, n.nspname, c.relname || ' ' || k.conname
		FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE k.contype IN ('p', 'u', 'x') OR k.contype = 'c' AND NOT k.convalidated OR k.contype = 'f' AND k.conparentid = 0
	UNION ALL SELECT 'TRIGGER', n.nspname, c.relname || ' ' || g.tgname FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT g.tgisinternal
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND d.objid = g.oid
			AND d.refclassid = 'pg_catalog.pg_trigger'::pg_catalog.regclass)
	UNION ALL SELECT 'POLICY', n.nspname, c.relname || ' ' || p.polname FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	UNION ALL SELECT 'RULE', n.nspname, c.relname || ' ' || w.rulename FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE w.rulename <> '_RETURN'
	UNION ALL SELECT 'STATISTICS', n.nspname, s.stxname FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
	UNION ALL SELECT 'PUBLICATION TABLE', n.nspname, p.pubname || ' ' || c.relname FROM pg_catalog.pg_publication_rel r
		JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`

// attached is the query for the target's version.
func (t *Target) attached() string {
	if t.control.VersionNum < 110000 {
		return strings.ReplaceAll(attached, " AND k.conparentid = 0", "")
	}
	return attached
}

// checkNoPostData refuses a target that has some of the post-data already.
func (t *Target) checkNoPostData(ctx context.Context, entries []stream.Entry) error {
	rows, err := t.control.Rows(ctx, t.attached())
	if err != nil {
		return err
	}
	there := map[[3]stream.Text]bool{}
	for _, r := range rows {
		there[[3]stream.Text{stream.Text(r[0]), stream.Text(r[1]), stream.Text(r[2])}] = true
	}
	have := map[stream.Text]bool{}
	for i := range entries {
		if e := &entries[i]; e.Section == stream.PostData && t.source.Selection.Wants(e) && there[[3]stream.Text{e.Desc, e.Namespace, e.Tag}] {
			have[e.Desc+" "+e.Namespace+"."+e.Tag] = true
		}
	}
	if len(have) == 0 {
		return nil
	}
	return t.unready("the target has some of the post-data already: %s", some(have)).
		WithHint("if this step has ended already, there is nothing to do; else drop them there")
}
