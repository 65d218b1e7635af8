package mytarget

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// checkOtherKind refuses what a server of another kind, or an older one, doesn't have, or would leave out of a definition without a word: what
// stands in comments for other servers.
func (t *Target) checkOtherKind(_ context.Context, entries []stream.Entry) error {
	missing := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		settings, create := mysession.Statements(string(e.Defn))
		if settings != "" {
			continue // what a program does within is its author's
		}
		what := t.otherType(create)
		if what == "" {
			what = mysession.PassedOver(create, t.control.Version)
		}
		if what != "" {
			missing[stream.Text(what).Display()+" of "+strings.ToLower(string(e.Desc))+" "+e.Name()] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(),
		Msg: fmt.Sprintf("%s doesn't know %s", t.control.Version.Name(), list(missing))}).
		WithHint("restore to a server of the source's kind and version, or change them on the source")
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
	return t.keyless(set, list(without))
}

// keyless refuses tables without a primary key, which a setting of the server's stands against.
func (t *Target) keyless(setting, tables string) error {
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(),
		Msg: fmt.Sprintf("the server takes no tables without a primary key as they are (%s), and these have none: %s", setting, tables)}).
		WithHint("SET GLOBAL %s = OFF while the move goes on, or give the tables a key on the source", setting)
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
