package mytarget

import (
	"context"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// thing is an object of the target: its kind in an entry's words and its name, of what belongs to a table the table's name and its own.
type thing struct{ desc, table, name string }

func (o thing) String() string {
	if o.table != "" {
		return o.desc + " " + o.table + " " + o.name
	}
	return o.desc + " " + o.name
}

// attached lists what belongs to tables, tables and programs. They are queries of their own: names in the catalogs are of several collations.
var attached = []string{
	"SELECT DISTINCT 'INDEX', TABLE_NAME, INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME <> 'PRIMARY'",
	"SELECT 'FK CONSTRAINT', TABLE_NAME, CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'FOREIGN KEY'",
	"SELECT 'TRIGGER', EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
	"SELECT UPPER(ROUTINE_TYPE), '', ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()",
	"SELECT 'EVENT', '', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
	"SELECT CASE TABLE_TYPE WHEN 'VIEW' THEN 'VIEW' WHEN 'SEQUENCE' THEN 'SEQUENCE' ELSE 'TABLE' END, '', TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
}

// things lists what there is on the target, less a ledger.
func (t *Target) things(ctx context.Context) ([]thing, error) {
	ledger, err := t.ledgerTables(ctx)
	if err != nil {
		return nil, err
	}
	var out []thing
	for _, q := range attached {
		rows, err := t.control.Rows(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if o := (thing{r[0], r[1], r[2]}); !slices.Contains(ledger, o.table) && (o.desc != "TABLE" || !slices.Contains(ledger, o.name)) {
				out = append(out, o)
			}
		}
	}
	return out, nil
}

// makes lists what an entry makes. A trigger's name is its database's own, and its table is not told.
func makes(e *stream.Entry) []thing {
	switch e.Desc {
	case "INDEX", "FULLTEXT INDEX", "FK CONSTRAINT":
		table, names := mysession.AddedKeys(string(e.Defn))
		var out []thing
		for _, n := range names {
			out = append(out, thing{strings.TrimPrefix(string(e.Desc), "FULLTEXT "), table, n})
		}
		return out
	case "DATABASE", "SEQUENCE SET", "TABLE DATA", descCheck:
		return nil
	case "TABLE":
		if strings.Contains(string(e.Defn), " SEQUENCE=1") { // as mydumper writes them
			return []thing{{"SEQUENCE", "", string(e.Tag)}}
		}
	}
	return []thing{{string(e.Desc), "", string(e.Tag)}}
}

// same is the thing as things are told apart: a trigger by its name alone, and what servers don't tell apart by the case of letters not by it.
func (o thing) same() thing {
	switch o.desc {
	case "TRIGGER":
		o.table = ""
	case "TABLE", "VIEW", "SEQUENCE":
	default:
		o.name = strings.ToLower(o.name)
	}
	return o
}

// checkNoPostData refuses a target that has some of the post-data already.
func (t *Target) checkNoPostData(ctx context.Context, entries []stream.Entry) error {
	all, err := t.things(ctx)
	if err != nil {
		return err
	}
	there := map[thing]bool{}
	for _, o := range all {
		there[o.same()] = true
	}
	have := map[string]bool{}
	for i := range entries {
		if e := &entries[i]; e.Section == stream.PostData && t.source.Selection.Wants(e) {
			for _, o := range makes(e) {
				if there[o.same()] {
					have[o.String()] = true
				}
			}
		}
	}
	if len(have) == 0 {
		return nil
	}
	return t.unready("the target has some of the post-data already: %s", list(have)).
		WithHint("if this step has ended already, there is nothing to do; else drop them there")
}
