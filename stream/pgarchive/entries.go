package pgarchive

import (
	"strings"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// Entries returns the entries of a table of contents, in its order, without those that only set
// up pg_restore's own session or create the database. The slice has room for so many more.
//
// All of them come as entries of pre-data or post-data: who knows how the rows and the sequences
// of the archive are kept moves those entries to the sections data and sequences.
func Entries(t *pgtoc.TOC, more int) []stream.Entry {
	sections := t.Sections()
	tables := map[stream.DumpID]bool{}
	for i := range t.Entries {
		if d := t.Entries[i].Desc; d == "TABLE" || d == "MATERIALIZED VIEW" || d == "FOREIGN TABLE" {
			tables[stream.DumpID(t.Entries[i].ID)] = true
		}
	}
	byID := t.Index()
	out := make([]stream.Entry, 0, len(t.Entries)+more)
	for i := range t.Entries {
		te := &t.Entries[i]
		switch te.Desc {
		case "ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE":
			continue // the sessions' own; and a database is never created
		}
		e := stream.Entry{ID: stream.DumpID(te.ID), Desc: stream.Text(te.Desc), Tag: stream.Text(te.Tag),
			Namespace: stream.Text(te.Namespace), Owner: stream.Text(te.Owner), Defn: stream.Text(te.Defn),
			DropStmt: stream.Text(te.DropStmt), CopyStmt: stream.Text(te.CopyStmt), Tablespace: stream.Text(te.Tablespace),
			AccessMethod: stream.Text(te.TableAM), Relkind: te.Relkind, CatalogID: te.CatalogID,
			Section: stream.PreData, Pass: passOf(te.Desc, te.Tag), Secret: secret(te.Desc)}
		if sections[i] == pgtoc.PostData {
			e.Section = stream.PostData
		}
		if metadata := groupOf(te, byID); metadata != nil {
			if sql, err := pgtoc.LargeObjectsACL(te, metadata); err == nil {
				e.Defn = stream.Text(sql)
			}
		}
		for _, d := range te.Deps {
			e.Dependencies = append(e.Dependencies, stream.DumpID(d))
			if sections[i] == pgtoc.PostData && tables[stream.DumpID(d)] {
				e.Locks = append(e.Locks, stream.DumpID(d))
			}
		}
		e.Share = te.Desc == "INDEX"
		out = append(out, e)
	}
	return out
}

// groupOf returns the entry that lists the large objects whose privileges the ACL entry holds, nil
// for all other entries.
func groupOf(acl *pgtoc.Entry, byID map[int32]*pgtoc.Entry) *pgtoc.Entry {
	if acl.Desc != "ACL" || !strings.HasPrefix(acl.Tag, "LARGE OBJECTS ") || len(acl.Deps) == 0 {
		return nil
	}
	return byID[acl.Deps[0]]
}

// passOf follows pg_restore's passes, with two of our own at the end: see stream.Pass.
func passOf(desc, tag string) stream.Pass {
	switch desc {
	case "DATABASE PROPERTIES":
		return stream.DatabasePass
	case "ACL", "COMMENT", "SECURITY LABEL":
		switch {
		case strings.HasPrefix(tag, "DATABASE "):
			return stream.DatabasePass
		case strings.HasPrefix(tag, "EVENT TRIGGER "):
			return stream.LastPass
		case desc == "ACL":
			return stream.ACLPass
		}
	case "DEFAULT ACL":
		return stream.ACLPass
	case "MATERIALIZED VIEW DATA":
		return stream.RefreshPass
	case "EVENT TRIGGER":
		return stream.LastPass
	}
	return stream.MainPass
}

// secret names the kinds of entries whose SQL may hold a password.
func secret(desc string) bool {
	switch desc {
	case "USER MAPPING", "SERVER", "SUBSCRIPTION", "FOREIGN DATA WRAPPER":
		return true
	}
	return false
}
