package pgtarget

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// Cleaning drops, in one transaction with the making of the ledger, what the archive is about to create: a process that dies before its
// end leaves all as it was, one that dies after it a run to resume. Nothing is dropped with CASCADE. What the server would drop along with a
// table, such as an index or a partition that only the target has, is found by a look before and after: then all is put back.

// cleanWait is how long sessions that use a table are waited for; meanwhile others wait behind us.
const cleanWait = "10s"

// dieAlong are the kinds of entries that go with their table, and that the server may not let go before it.
var dieAlong = map[stream.Text]bool{"INDEX": true, "CONSTRAINT": true, "INDEX ATTACH": true, "TABLE ATTACH": true, "STATISTICS": true, "TRIGGER": true}

// stays are the kinds that are left, and that the archive finds there: an extension may have more users, and its
// statement says IF NOT EXISTS.
var stays = map[stream.Text]bool{"EXTENSION": true, "DATABASE": true, "DATABASE PROPERTIES": true, "BLOB": true, "BLOB METADATA": true}

// clean drops, and leaves its transaction open. It returns an error with the transaction rolled back, and the target as it was.
func (t *Target) clean(ctx context.Context, entries []stream.Entry) (err error) {
	defer func() {
		if err != nil {
			t.rollback(ctx)
			err = t.explainClean(err)
		}
	}()
	if err := t.control.Do(ctx, "BEGIN; SET LOCAL lock_timeout = '"+cleanWait+"'"); err != nil {
		return err
	}
	if err := t.dropOldLedger(ctx); err != nil {
		return err
	}
	before, err := t.listing(ctx)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(t.drops(entries), 200) {
		if err := t.control.Do(ctx, "DO "+pgsession.Literal("BEGIN\n"+strings.Join(batch, "")+"END")); err != nil {
			return err
		}
	}
	fault.Point("clean:dropped")
	for batch := range slices.Chunk(blobsOf(entries), 1000) {
		if err := t.control.Do(ctx, "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid IN ("+strings.Join(batch, ", ")+")"); err != nil {
			return err
		}
	}
	if err := t.emptyConfiguration(ctx, entries); err != nil {
		return err
	}
	after, err := t.listing(ctx)
	if err != nil {
		return err
	}
	if err := t.noneElse(entries, before, after); err != nil {
		return err
	}
	return t.control.Do(ctx, "SET LOCAL lock_timeout = 0")
}

// dropOldLedger drops the ledger of a run that did not finish: it is replaced, like what it stands for.
func (t *Target) dropOldLedger(ctx context.Context) error {
	row, err := t.control.Row(ctx, "SELECT coalesce(pg_catalog.obj_description(oid, 'pg_namespace'), '') FROM pg_catalog.pg_namespace WHERE nspname = 'pgmove'")
	if err != nil || row == nil {
		return err
	}
	if !strings.HasPrefix(row[0], "pgmove ledger") {
		return t.unready("it has a schema named pgmove, which is no ledger of pgmove's").WithHint("rename that schema")
	}
	t.warn("what an unfinished run left on the target is replaced")
	return t.control.Do(ctx, "DROP SCHEMA pgmove CASCADE")
}

// object is a thing on the target, named as an entry is.
type object struct{ desc, namespace, tag stream.Text }

// relations lists what has a name of its own and may go with something else.
const relations = `SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
	n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
		WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'i' AND c.relkind = 'S') UNION ALL `

func (t *Target) listing(ctx context.Context) (map[object]bool, error) {
	rows, err := t.control.Rows(ctx, relations+t.attached())
	if err != nil {
		return nil, err
	}
	out := make(map[object]bool, len(rows))
	for _, r := range rows {
		if !strings.HasPrefix(r[1], "pg_") {
			out[object{stream.Text(r[0]), stream.Text(r[1]), stream.Text(r[2])}] = true
		}
	}
	return out, nil
}

// keepSchemas notes the schemas that are not dropped, and not made where they are there: the one that every database has, and those that extensions live in.
func (t *Target) keepSchemas(ctx context.Context) error {
	rows, err := t.control.Rows(ctx, `SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public'
		OR EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE x.extnamespace = n.oid)
		OR EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e')`)
	t.kept = map[stream.Text]bool{}
	for _, r := range rows {
		t.kept[stream.Text(r[0])] = true
	}
	return err
}

// drops returns PL/pgSQL blocks that drop the entries' objects, the last first; one that isn't there is passed over.
func (t *Target) drops(entries []stream.Entry) []string {
	var out []string
	for i := len(entries) - 1; i >= 0; i-- {
		e := &entries[i]
		sql := strings.TrimRight(string(e.DropStmt), "; \n")
		if sql == "" || !t.source.Selection.Wants(e) || dieAlong[e.Desc] || stays[e.Desc] || e.Desc == "SCHEMA" && t.kept[e.Tag] {
			continue
		}
		// pg_dump drops a base type with all that uses it; without that the server refuses, and names the users.
		sql = strings.TrimSuffix(sql, " CASCADE")
		out = append(out, "BEGIN EXECUTE "+pgsession.Literal(sql)+`;
EXCEPTION WHEN undefined_table OR undefined_object OR undefined_function OR undefined_column OR invalid_schema_name THEN NULL; END;
`)
	}
	return out
}

// emptyConfiguration deletes the rows of extensions' configuration tables that the archive brings again, by the target's own conditions.
func (t *Target) emptyConfiguration(ctx context.Context, entries []stream.Entry) error {
	rows, err := t.control.Rows(ctx, `SELECT n.nspname, c.relname, coalesce(k.cond, '') FROM pg_catalog.pg_extension x,
		LATERAL unnest(x.extconfig, x.extcondition) AS k (oid, cond) JOIN pg_catalog.pg_class c ON c.oid = k.oid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'`)
	if err != nil {
		return err
	}
	cond := map[[2]stream.Text]string{}
	for _, r := range rows {
		cond[[2]stream.Text{stream.Text(r[0]), stream.Text(r[1])}] = r[2]
	}
	for i := len(entries) - 1; i >= 0; i-- {
		e := &entries[i]
		where, ok := cond[[2]stream.Text{e.Namespace, e.Tag}]
		if !ok || !loads(e) || !t.source.Selection.Wants(e) {
			continue
		}
		if err := t.control.Do(ctx, "DELETE FROM ONLY "+pgsession.Qualified(string(e.Namespace), string(e.Tag))+" "+where); err != nil {
			return err
		}
	}
	return nil
}

// noneElse refuses where something went that the archive doesn't bring back.
func (t *Target) noneElse(entries []stream.Entry, before, after map[object]bool) error {
	ours := make(map[object]bool, len(entries))
	for i := range entries {
		e := &entries[i]
		if !t.source.Selection.Wants(e) {
			continue
		}
		ours[object{e.Desc, e.Namespace, e.Tag}] = true
		if e.Desc != "CONSTRAINT" {
			continue
		}
		// Of an unfinished run there may be the index alone; see Stages.
		for _, d := range e.Dependencies {
			if table := t.byID[d]; table != nil && table.Desc == "TABLE" && strings.HasPrefix(string(e.Tag), string(table.Tag)+" ") {
				ours[object{"INDEX", e.Namespace, e.Tag[len(table.Tag)+1:]}] = true
			}
		}
	}
	lost := map[stream.Text]bool{}
	tables := 0
	for o := range before {
		switch {
		case after[o]:
		case !ours[o]:
			lost[o.desc+" "+o.namespace+"."+o.tag] = true
		case o.desc == "TABLE":
			tables++
		}
	}
	if len(lost) > 0 {
		return t.unready("--clean would drop what would not come again: %s", some(lost)).
			WithHint("drop it there yourself, or move it elsewhere; or leave its table out with --exclude-table")
	}
	if tables > 0 {
		t.warn(fmt.Sprintf("--clean replaces %d tables of the target", tables))
	}
	return nil
}

// explainClean says why the target could not be cleaned; it is as it was.
func (t *Target) explainClean(err error) error {
	var pe *pgconn.PgError
	if stream.KindOf(err) != stream.Failed || !errors.As(err, &pe) || pgsession.Lost(err) {
		return pgsession.Explain(err, t.conn.Name())
	}
	f := t.unready("--clean changed nothing: %s", stream.Text(pe.Message).Display())
	if pe.Detail != "" {
		f.Msg += " (" + strings.ReplaceAll(stream.Text(pe.Detail).Display(), "\n", "; ") + ")"
	}
	f.Msg += " (SQLSTATE " + pe.Code + ")"
	switch pe.Code {
	case "2BP01":
		f.Hint = "drop what depends on it there yourself: --clean drops nothing but what is moved"
	case "55P03":
		f.Hint = "end the sessions that use these tables, then run again"
	case "53200":
		f.Hint = "raise max_locks_per_transaction on the target: all is dropped in one transaction"
	case "42501":
		f.Kind, f.Hint = stream.Denied, "run as the owner of what is replaced"
	default:
		f.Hint = "drop that object there yourself, then run again"
	}
	return f
}
