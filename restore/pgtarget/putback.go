package pgtarget

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// What stands between rows and their table once it was loaded, and goes before they come again: the
// rows would fire it, or it would refuse TRUNCATE. Indexes and keys stay.
var dropped = map[stream.Text]bool{"FK CONSTRAINT": true, "TRIGGER": true, "RULE": true, "POLICY": true, "CHECK CONSTRAINT": true, "EVENT TRIGGER": true}

// goesAlong are the kinds of entries that go with what they are of.
var goesAlong = map[stream.Text]bool{"COMMENT": true, "SECURITY LABEL": true, "ACL": true}

// putBack returns the statements that empty the tables whose rows come again, and take back what depends
// on rows: then the ledger no longer lists them. It fails where that can't be done.
func (t *Target) putBack(ctx context.Context, entries []stream.Entry, again []stream.DumpID) (string, error) {
	var q strings.Builder
	forget := map[stream.DumpID]bool{}
	for i := range entries {
		// Sequences go on without a transaction, and views are filled from what comes again.
		if e := &entries[i]; e.Section == stream.Sequences || e.Pass == stream.RefreshPass {
			forget[e.ID] = true
		}
	}
	tables, err := t.tablesOf(again)
	if err != nil {
		return "", err
	}
	if len(again) > 0 {
		near := t.ancestors(entries, tables)
		var drops []string
		for i := range entries {
			e := &entries[i]
			if !t.taken.Entries[e.ID] && !t.taken.Early[e.ID] || !dropped[e.Desc] || e.Desc != "EVENT TRIGGER" && !touches(e, near) {
				continue
			}
			if strings.TrimSpace(string(e.DropStmt)) == "" {
				return "", t.stuck(e)
			}
			drops = append(drops, strings.TrimRight(string(e.DropStmt), "; \n")+";\n")
			forget[e.ID] = true
		}
		slices.Reverse(drops)
		q.WriteString(strings.Join(drops, ""))
		if err := t.followers(entries, forget); err != nil {
			return "", err
		}
	}
	if t.source.Selection.Has(stream.PreData) {
		q.WriteString(t.empty(tables, again))
	} else {
		sql, err := t.emptyThere(ctx, tables, again)
		if err != nil {
			return "", err
		}
		q.WriteString(sql + t.empty(nil, again))
	}
	if len(again) > 0 {
		fmt.Fprintf(&q, "DELETE FROM pgmove.taken WHERE part >= 0 AND id IN (%s);\n", idList(again))
	}
	for p := range t.taken.Chunks {
		if slices.Contains(again, p.Table) {
			delete(t.taken.Chunks, p)
		}
	}
	var ids []stream.DumpID
	for id := range forget {
		delete(t.taken.Entries, id)
		delete(t.taken.Early, id)
		ids = append(ids, id)
	}
	if len(ids) > 0 {
		slices.Sort(ids)
		fmt.Fprintf(&q, "DELETE FROM pgmove.taken WHERE part < 0 AND id IN (%s);\n", idList(ids))
	}
	return q.String(), nil
}

func (t *Target) stuck(e *stream.Entry) error {
	return (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(),
		Msg: fmt.Sprintf("rows of the source changed, and %s %s, which is in place already, keeps them from being loaded again", e.Desc.Display(), e.Name())}).
		WithHint("drop and create the database, then start afresh; with pgmove snapshot --hold a run can go on whatever changes")
}

// tablesOf returns the entries that create the tables whose rows come again, as far as they were created.
func (t *Target) tablesOf(again []stream.DumpID) ([]*stream.Entry, error) {
	var out []*stream.Entry
	for _, id := range again {
		e := t.byID[id]
		if e == nil || e.Table == nil {
			return nil, stream.Fail(stream.Integrity, "entry %d, whose rows are to come again, has none", id)
		}
		if e.Table.LargeObjects {
			continue
		}
		var table *stream.Entry
		for _, d := range e.Dependencies {
			if c := t.byID[d]; c != nil && c.Desc == "TABLE" && c.Tag == e.Tag && c.Namespace == e.Namespace {
				table = c
			}
		}
		switch {
		case table == nil && t.partlyTaken(id):
			return nil, t.stuck(e) // an extension's own
		case table != nil && (t.taken.Entries[table.ID] || !t.source.Selection.Has(stream.PreData)): // or it was there before
			out = append(out, table)
		}
	}
	return out, nil
}

func (t *Target) partlyTaken(id stream.DumpID) bool {
	for p := range t.taken.Chunks {
		if p.Table == id {
			return true
		}
	}
	return false
}

// ancestors returns the tables and, transitively, those that they are partitions or heirs of.
func (t *Target) ancestors(entries []stream.Entry, tables []*stream.Entry) map[stream.DumpID]bool {
	parents := map[stream.DumpID][]stream.DumpID{}
	for i := range entries {
		e := &entries[i]
		switch e.Desc {
		case "TABLE":
			parents[e.ID] = append(parents[e.ID], e.Dependencies...)
		case "TABLE ATTACH":
			for _, d := range e.Dependencies {
				parents[d] = append(parents[d], e.Dependencies...)
			}
		}
	}
	near := map[stream.DumpID]bool{}
	var list []stream.DumpID
	for _, e := range tables {
		near[e.ID] = true
		list = append(list, e.ID)
	}
	for i := 0; i < len(list); i++ {
		for _, p := range parents[list[i]] {
			if e := t.byID[p]; e != nil && e.Desc == "TABLE" && !near[p] {
				near[p] = true
				list = append(list, p)
			}
		}
	}
	return near
}

func touches(e *stream.Entry, tables map[stream.DumpID]bool) bool {
	has := func(id stream.DumpID) bool { return tables[id] }
	return slices.ContainsFunc(e.Dependencies, has) || slices.ContainsFunc(e.Locks, has)
}

// followers adds to forget what went with what is dropped.
func (t *Target) followers(entries []stream.Entry, forget map[stream.DumpID]bool) error {
	for more := true; more; {
		more = false
		for i := range entries {
			e := &entries[i]
			if forget[e.ID] || e.Table != nil || !t.taken.Entries[e.ID] ||
				!slices.ContainsFunc(e.Dependencies, func(d stream.DumpID) bool { return forget[d] && t.byID[d] != nil && dropped[t.byID[d].Desc] }) {
				continue
			}
			if !goesAlong[e.Desc] {
				return t.stuck(e)
			}
			forget[e.ID], more = true, true
		}
	}
	return nil
}

// empty returns the statements that empty tables and, if their rows come again, large objects.
func (t *Target) empty(tables []*stream.Entry, again []stream.DumpID) string {
	var q strings.Builder
	if len(tables) > 0 {
		names := make([]string, len(tables))
		for i, e := range tables {
			names[i] = "ONLY " + pgsession.Qualified(string(e.Namespace), string(e.Tag)) // ONLY: heirs' rows stay
		}
		q.WriteString("TRUNCATE " + strings.Join(names, ", ") + ";\n")
	}
	for _, id := range again {
		if t.byID[id].Table.LargeObjects {
			q.WriteString(t.emptyBlobs())
		}
	}
	return q.String()
}

// emptyBlobs returns the statement that empties the archive's large objects, one after the other; the target may have more.
func (t *Target) emptyBlobs() string {
	var entries []stream.Entry
	for _, e := range t.byID {
		if e.Desc == "BLOB" || e.Desc == "BLOB METADATA" {
			entries = append(entries, *e)
		}
	}
	oids := blobsOf(entries)
	if len(oids) == 0 {
		return ""
	}
	return `SELECT count(*) FROM (SELECT fd, pg_catalog.lo_truncate(fd, 0) AS done FROM (SELECT pg_catalog.lo_open(oid, 131072) AS fd
	FROM pg_catalog.pg_largeobject_metadata WHERE oid IN (` + strings.Join(oids, ", ") + `) OFFSET 0) a OFFSET 0) b WHERE pg_catalog.lo_close(fd + done) = 0;
`
}

func idList(ids []stream.DumpID) string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = fmt.Sprint(id)
	}
	return strings.Join(s, ", ")
}
