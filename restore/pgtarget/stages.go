package pgtarget

import (
	"regexp"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// Some statements hold a lock that keeps others off the table for as long as they take, only because they do two things at
// once. They are taken apart where the outcome is the same to the last byte of a later pg_dump, and in the one
// form in which pg_dump writes the plain case. All else is applied as it stands: constraints that are
// deferrable, have options or exclude, those of partitioned tables, and foreign keys that are to stay NOT VALID.

const (
	name      = `(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_]*)`
	names     = name + `(?:, ` + name + `)*`
	qualified = name + `\.` + name
)

var (
	// uniqueKey is what of a constraint entry an index can stand in for; other statements may follow it.
	uniqueKey = regexp.MustCompile(`^ALTER TABLE ONLY (` + qualified + `)\n    ADD CONSTRAINT (` + name + `) (PRIMARY KEY|UNIQUE) (\(` + names + `\)(?: INCLUDE \(` + names + `\))?);\n`)
	// foreignKey is a whole foreign key entry.
	foreignKey = regexp.MustCompile(`^ALTER TABLE ONLY (` + qualified + `)\n    ADD CONSTRAINT (` + name + `) FOREIGN KEY (\(` + names + `\) REFERENCES ` + qualified + `(?:\(` + names + `\))?[^;"]*);\s*$`)
)

// Stages takes apart: a primary key or unique constraint into its index, beside which others can be built, and the
// constraint that takes it over; a foreign key into one that is NOT VALID, and its validation, which locks only the table
// that refers, and that one weakly. A server that ends between the two leaves what the ledger knows of.
func (t *Target) Stages(e *stream.Entry) []*stream.Entry {
	if e.Section != stream.PostData || e.Pass != stream.MainPass {
		return nil
	}
	for _, d := range e.Dependencies {
		if table := t.byID[d]; table != nil && table.Desc == "TABLE" && table.Relkind == 'p' {
			return nil
		}
	}
	first, last := *e, *e
	first.Early = true
	sql := string(e.Defn)
	switch e.Desc {
	case "CONSTRAINT":
		m := uniqueKey.FindStringSubmatch(sql)
		if m == nil {
			return nil
		}
		table, index, kind, columns := m[1], m[2], m[3], m[4]
		first.Defn = stream.Text("CREATE UNIQUE INDEX " + index + " ON " + table + " USING btree " + columns + ";\n")
		first.Share = true
		last.Defn = stream.Text("ALTER TABLE ONLY " + table + "\n    ADD CONSTRAINT " + index + " " + kind + " USING INDEX " + index + ";\n" + sql[len(m[0]):])
	case "FK CONSTRAINT":
		m := foreignKey.FindStringSubmatch(sql)
		child := t.referring(e)
		if m == nil || child == 0 || strings.Contains(m[3], "NOT VALID") || strings.Contains(m[3], "NOT ENFORCED") {
			return nil
		}
		first.Defn = stream.Text("ALTER TABLE ONLY " + m[1] + "\n    ADD CONSTRAINT " + m[2] + " FOREIGN KEY " + m[3] + " NOT VALID;\n")
		last.Defn = stream.Text("ALTER TABLE " + m[1] + " VALIDATE CONSTRAINT " + m[2] + ";\n")
		last.Locks = []stream.DumpID{child}
	default:
		return nil
	}
	return []*stream.Entry{&first, &last}
}

// referring is the table that a foreign key is of, 0 where that isn't clear: pg_dump begins the key's tag with the table's name.
func (t *Target) referring(e *stream.Entry) stream.DumpID {
	var id stream.DumpID
	length := -1
	for _, d := range e.Dependencies {
		table := t.byID[d]
		if table == nil || table.Desc != "TABLE" || table.Namespace != e.Namespace || len(table.Tag) <= length {
			continue
		}
		if strings.HasPrefix(string(e.Tag), string(table.Tag)+" ") {
			id, length = d, len(table.Tag)
		}
	}
	return id
}
