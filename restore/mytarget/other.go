package mytarget

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// checkOther refuses what a server of another kind, or an older one, doesn't know or would leave out of a definition without a word:
// collations, and what stands in comments for other servers.
func (t *Target) checkOther(ctx context.Context, entries []stream.Entry) error {
	rows, err := t.control.Rows(ctx, "SHOW COLLATION")
	if err != nil {
		return err
	}
	known := map[string]bool{"binary": true}
	for _, r := range rows {
		known[strings.ToLower(r[0])] = true
	}
	missing := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		settings, create := mysession.Statements(string(e.Defn))
		if settings != "" {
			create = settings // what a program does within is its author's
		} else if other := t.otherType(create); other != "" {
			missing[other+" of "+strings.ToLower(string(e.Desc))+" "+e.Name()] = true
		} else if passed := mysession.PassedOver(create, t.control.Version); passed != "" {
			missing[fmt.Sprintf("%s of %s %s", stream.Text(passed).Display(), strings.ToLower(string(e.Desc)), e.Name())] = true
		}
		for _, c := range collations(create) {
			if !known[strings.ToLower(c)] {
				missing["collation "+stream.Text(c).Display()+" of "+strings.ToLower(string(e.Desc))+" "+e.Name()] = true
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(),
		Msg: fmt.Sprintf("%s doesn't know %s", t.control.Version.Name(), list(missing))}).
		WithHint("restore to a server of the source's kind and version, or change them on the source")
}

// collations are the names that a statement gives to columns, tables, a database, or a session.
func collations(sql string) (out []string) {
	t := mysession.Tokens(sql)
	for i := 0; i+1 < len(t); i++ {
		if !t[i].Is("COLLATE") && !t[i].Is("collation_connection") {
			continue
		}
		at := i + 1
		if t[at].Text == "=" && at+1 < len(t) {
			at++
		}
		if name := t[at].Text; t[at].Kind == mysession.Word && !strings.EqualFold(name, "DEFAULT") && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// otherType returns what of a table's definition is MariaDB's alone where the target is MySQL, and stands in no comment.
func (t *Target) otherType(create string) string {
	if t.control.Version.MariaDB {
		return ""
	}
	tokens := mysession.Tokens(create)
	for i := 0; i+1 < len(tokens); i++ {
		a, b := tokens[i], tokens[i+1]
		if a.Depth > 1 {
			continue
		}
		if a.Kind == mysession.Name && a.Depth == 1 && slices.ContainsFunc([]string{"inet4", "inet6", "uuid"}, b.Is) {
			return "type " + b.Text
		}
		if a.Is("SYSTEM") && b.Is("VERSIONING") || a.Is("PERIOD") && b.Is("FOR") {
			return strings.ToUpper(a.Text + " " + b.Text)
		}
	}
	return ""
}

// checkPrimaryKeys refuses tables without a primary key where MySQL is set to refuse them, or to give them one of its own.
func (t *Target) checkPrimaryKeys(ctx context.Context, entries []stream.Entry) error {
	v := t.control.Version
	if v.MariaDB || v.Num < 8000013 {
		return nil
	}
	set := ""
	for name, since := range map[string]int{"sql_require_primary_key": 8000013, "sql_generate_invisible_primary_key": 8000030} {
		if v.Num < since {
			continue
		}
		row, err := t.control.Row(ctx, "SELECT @@SESSION."+name)
		if err != nil {
			return err
		}
		if row[0] == "1" {
			set = name
		}
	}
	without := map[string]bool{}
	for i := range entries {
		if e := &entries[i]; e.Desc == "TABLE" && !hasPrimaryKey(string(e.Defn)) {
			without[e.Name()] = true
		}
	}
	if set == "" || len(without) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "with its setting " + set + " the server takes no tables without a primary key as they are: " + list(without)}).
		WithHint("SET GLOBAL %s = OFF there for the move, or give them a primary key on the source", set)
}

func hasPrimaryKey(create string) bool {
	t := mysession.Tokens(create)
	for i := 0; i+1 < len(t); i++ {
		if t[i].Depth == 1 && t[i].Is("PRIMARY") && t[i+1].Is("KEY") {
			return true
		}
	}
	return false
}
