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
