package pgtarget

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// Where rows come into a finished schema its foreign keys are checked as they come, so a table waits for those that it refers to.

// foreign is a foreign key of the target between data entries, 0 for a table that is not moved. It reaches where
// to delete a row that is referred to changes those that refer.
type foreign struct {
	name          string
	child, parent stream.DumpID
	reaches       bool
}

// readKeys learns from the target which tables refer to which, and refuses circles, of which no order is right.
func (t *Target) readKeys(ctx context.Context, entries []stream.Entry, plan []stream.Chunk) error {
	if t.opts.DisableTriggers {
		return t.mayDisable(ctx)
	}
	tables, err := t.tablesThere(ctx)
	if err != nil {
		return err
	}
	byOID := map[string]stream.DumpID{}
	for i := range entries {
		if e := &entries[i]; loads(e) {
			if f := tables[[2]stream.Text{e.Namespace, e.Tag}]; f != nil {
				byOID[f.oid] = e.ID
			}
		}
	}
	rows, err := t.control.Rows(ctx, `SELECT k.conname, k.conrelid, k.confrelid, k.confdeltype IN ('c', 'n', 'd') AND c.relkind = 'r', n.nspname, c.relname
		FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f'`)
	if err != nil {
		return err
	}
	t.keys = nil
	t.left = map[stream.DumpID]int{}
	for _, c := range plan {
		t.left[c.Table]++
	}
	t.parents = map[stream.DumpID][]stream.DumpID{}
	keys := map[[2]stream.DumpID]string{}
	own := t.own("FK CONSTRAINT", entries)
	for _, r := range rows {
		if own[[2]stream.Text{stream.Text(r[4]), stream.Text(r[5] + " " + r[0])}] {
			continue
		}
		child, parent := byOID[r[1]], byOID[r[2]]
		t.keys = append(t.keys, foreign{r[0], child, parent, r[3] == "t"})
		if child == 0 || parent == 0 || child == parent && t.left[child] < 2 {
			continue // a table of one chunk is there whole when its own key is checked
		}
		t.parents[child] = append(t.parents[child], parent)
		keys[[2]stream.DumpID{child, parent}] = r[0]
	}
	return t.noCircle(keys)
}

// own are the archive's entries of a kind, by schema and tag, that this run may have made when it resumes. When it began there were none
// of them: they come after the rows of their tables, and go before these come again.
func (t *Target) own(desc stream.Text, entries []stream.Entry) map[[2]stream.Text]bool {
	if !t.opts.Resume || !t.source.Selection.Has(stream.PostData) {
		return nil
	}
	own := map[[2]stream.Text]bool{}
	for i := range entries {
		if e := &entries[i]; e.Desc == desc {
			own[[2]stream.Text{e.Namespace, e.Tag}] = true
		}
	}
	return own
}

// noCircle refuses tables that refer to each other in a circle.
func (t *Target) noCircle(keys map[[2]stream.DumpID]string) error {
	done := map[stream.DumpID]bool{}
	for more := true; more; {
		more = false
		for child, parents := range t.parents {
			ready := !done[child]
			for _, p := range parents {
				ready = ready && (done[p] || len(t.parents[p]) == 0)
			}
			if ready {
				done[child], more = true, true
			}
		}
	}
	// What only waits for a circle, and is in none, is not to be named.
	for more := true; more; {
		more = false
		for id := range t.parents {
			referred := false
			for child, parents := range t.parents {
				referred = referred || !done[child] && slices.Contains(parents, id)
			}
			if !done[id] && !referred {
				done[id], more = true, true
			}
		}
	}
	circle := map[stream.Text]bool{}
	for k, name := range keys {
		if c, p := t.byID[k[0]], t.byID[k[1]]; !done[k[0]] && !done[k[1]] && len(t.parents[k[1]]) > 0 {
			circle[stream.Text(fmt.Sprintf("%s (%s to %s)", stream.Text(name).Display(), c.Name(), p.Name()))] = true
		}
	}
	if len(circle) == 0 {
		return nil
	}
	return t.unready("foreign keys on the target go in a circle, and no order of loading is right: %s", some(circle)).
		WithHint("load the rows before --section post-data; or drop these keys there and create them again after; or give --disable-triggers as a superuser")
}

// emptyThere returns the statements that empty tables which were there before the run, and whose rows come again: those that refer before
// those that are referred to, which TRUNCATE would not empty alone. No statement may change rows of other tables.
func (t *Target) emptyThere(ctx context.Context, tables []*stream.Entry, again []stream.DumpID) (string, error) {
	if t.opts.DisableTriggers {
		var q strings.Builder
		for _, e := range tables {
			q.WriteString("DELETE FROM ONLY " + pgsession.Qualified(string(e.Namespace), string(e.Tag)) + ";\n")
		}
		return noTriggers + q.String(), nil
	}
	referred := map[stream.DumpID][]stream.DumpID{}
	for _, k := range t.keys {
		if !slices.Contains(again, k.parent) {
			continue
		}
		if k.reaches && !slices.Contains(again, k.child) {
			return "", t.stuck(&stream.Entry{Desc: "FK CONSTRAINT", Tag: stream.Text(k.name)})
		}
		referred[k.parent] = append(referred[k.parent], k.child)
	}
	ours := map[[2]stream.Text]bool{}
	var names []string
	for _, e := range tables {
		ours[[2]stream.Text{e.Namespace, e.Tag}] = true
		names = append(names, pgsession.Literal(pgsession.Qualified(string(e.Namespace), string(e.Tag)))+"::pg_catalog.regclass")
	}
	if len(names) > 0 {
		row, err := t.control.Row(ctx, `SELECT tgname FROM pg_catalog.pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 40 <> 0
			AND tgrelid IN (`+strings.Join(names, ", ")+") LIMIT 1") // for DELETE and for TRUNCATE
		if err != nil {
			return "", err
		}
		if row != nil {
			return "", t.stuck(&stream.Entry{Desc: "TRIGGER", Tag: stream.Text(row[0])})
		}
	}
	var q strings.Builder
	gone := map[stream.DumpID]bool{}
	for len(gone) < len(again) {
		before := len(gone)
		for _, id := range again {
			if gone[id] || slices.ContainsFunc(referred[id], func(c stream.DumpID) bool { return c != 0 && c != id && slices.Contains(again, c) && !gone[c] }) {
				continue
			}
			gone[id] = true
			e := t.byID[id]
			if !ours[[2]stream.Text{e.Namespace, e.Tag}] {
				continue
			}
			name := "ONLY " + pgsession.Qualified(string(e.Namespace), string(e.Tag))
			if len(referred[id]) > 0 {
				q.WriteString("DELETE FROM " + name + ";\n")
			} else {
				q.WriteString("TRUNCATE " + name + ";\n")
			}
		}
		if len(gone) == before {
			break // a circle, which readKeys refuses
		}
	}
	return q.String(), nil
}

// errNotYet is why a chunk waits.
var errNotYet = errors.New("a table that its foreign key refers to is not complete yet")

// waits reports whether an entry's rows refer to tables that are not complete.
func (t *Target) waits(id stream.DumpID) bool {
	t.needMu.Lock()
	defer t.needMu.Unlock()
	for _, p := range t.parents[id] {
		if t.left[p] > 0 {
			return true
		}
	}
	return false
}

// arrived counts a chunk that was taken.
func (t *Target) arrived(id stream.DumpID) {
	t.needMu.Lock()
	defer t.needMu.Unlock()
	if t.left != nil {
		t.left[id]--
	}
}

// mayDisable refuses a role that can't switch triggers off.
func (t *Target) mayDisable(ctx context.Context) error {
	err := t.control.Do(ctx, "BEGIN; "+noTriggers+"ROLLBACK")
	if err == nil {
		t.warn("--disable-triggers: the target did not check foreign keys for the rows that were loaded")
		return nil
	}
	t.rollback(ctx)
	if pgsession.Code(err) != "42501" {
		return err
	}
	return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(), Msg: "role " + t.conn.User() + " may not switch triggers off", Err: err}).
		WithHint("leave --disable-triggers out; or run as a superuser or, on a managed service, as the role that may set session_replication_role")
}

// noTriggers switches triggers and foreign keys off for a transaction.
const noTriggers = "SET LOCAL session_replication_role = replica;\n"

// checkTriggers refuses tables whose triggers would fire as rows come: what they do was done on the source.
func (t *Target) checkTriggers(ctx context.Context, entries []stream.Entry, tables map[[2]stream.Text]*found) error {
	fires := "'O', 'A'"
	if t.opts.DisableTriggers {
		fires = "'R', 'A'"
	}
	rows, err := t.control.Rows(ctx, "SELECT tgrelid, tgname FROM pg_catalog.pg_trigger WHERE NOT tgisinternal AND tgenabled IN ("+fires+") AND tgtype & 4 <> 0 ORDER BY 1, 2")
	if err != nil {
		return err
	}
	byOID := map[string][]string{}
	for _, r := range rows {
		byOID[r[0]] = append(byOID[r[0]], r[1])
	}
	fire, own := map[stream.Text]bool{}, t.own("TRIGGER", entries)
	for i := range entries {
		e := &entries[i]
		if f := tables[[2]stream.Text{e.Namespace, e.Tag}]; loads(e) && f != nil {
			for _, g := range byOID[f.oid] {
				if own[[2]stream.Text{e.Namespace, e.Tag + " " + stream.Text(g)}] {
					continue
				}
				fire[e.Namespace+"."+e.Tag+" "+stream.Text(g)] = true
			}
		}
	}
	if len(fire) == 0 {
		return nil
	}
	return t.unready("triggers on the target would fire for rows that are moved: %s", some(fire)).
		WithHint("load the rows before --section post-data; or disable these triggers meanwhile; or give --disable-triggers as a superuser")
}
