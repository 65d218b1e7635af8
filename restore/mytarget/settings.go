package mytarget

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Programs are made under the settings that they were written under, and tables name their collations. A server that doesn't know one of them would
// refuse what names it, after the rows are there: so each is tried before.

const (
	errWrongValue       = 1231 // ER_WRONG_VALUE_FOR_VAR
	errUnknownZone      = 1298 // ER_UNKNOWN_TIME_ZONE
	errUnknownCharset   = 1115 // ER_UNKNOWN_CHARACTER_SET
	errUnknownCollation = 1273 // ER_UNKNOWN_COLLATION
)

// unknowns are the kinds of settings that a server may not know: the finding's id, and what is said of them.
var unknowns = []struct {
	id        string
	codes     []uint16
	msg, hint string
}{
	{"time-zones-missing", []uint16{errUnknownZone}, "the server doesn't know time zones under which events run: %s", "load the time zone tables there (mariadb-tzinfo-to-sql or mysql_tzinfo_to_sql /usr/share/zoneinfo), or alter the events on the source"},
	{"collations-missing", []uint16{errUnknownCharset, errUnknownCollation}, "the server doesn't know charsets or collations: %s", "convert what has them on the source to one that both know, such as utf8mb4_unicode_ci, or move to a server of the source's kind and version"},
	{"sql-modes-missing", []uint16{errWrongValue}, "the server doesn't know an sql_mode under which programs were written: %s", "create them anew on the source, under an sql_mode that both know"},
}

// checkSettings refuses entries whose settings or collations the server doesn't know.
func (t *Target) checkSettings(ctx context.Context, entries []stream.Entry) error {
	list, err := t.unknown(ctx, entries, collationsOf(entries))
	if err == nil && len(list) > 0 {
		err = list[0].err
	}
	return err
}

// refusal is the failure that a finding stands for.
type refusal struct {
	id  string
	err error
}

// unknown tries each setting of the entries' programs, and each collation, on the control session.
func (t *Target) unknown(ctx context.Context, entries []stream.Entry, collations []string) (out []refusal, err error) {
	tried := map[string]bool{}
	missing := map[string]map[string]bool{}
	try := func(assignment, shown string) error {
		if tried[assignment] {
			return nil
		}
		tried[assignment] = true
		err := t.control.Do(ctx, t.known("SET SESSION "+assignment))
		if err == nil {
			return nil
		}
		for _, u := range unknowns {
			for _, code := range u.codes {
				if mysession.Code(err) != code {
					continue
				}
				if missing[u.id] == nil {
					missing[u.id] = map[string]bool{}
				}
				missing[u.id][shown] = true
				return nil
			}
		}
		return err
	}
	for i := range entries {
		settings, _ := mysession.Statements(string(entries[i].Defn))
		for _, a := range assignments(settings) {
			_, value, _ := strings.Cut(a, " = ")
			if err := try(a, strings.Trim(cmp.Or(value, a), "'")); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range collations {
		if err := try("collation_connection = "+mysession.Literal(c), c); err != nil {
			return nil, err
		}
	}
	for _, u := range unknowns {
		if names := missing[u.id]; names != nil {
			out = append(out, refusal{u.id, (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: fmt.Sprintf(u.msg, list(names))}).WithHint("%s", u.hint)})
		}
	}
	if len(tried) == 0 {
		return out, nil
	}
	return out, pinAgain(ctx, t.control)
}

// assignments takes a statement of settings apart.
func assignments(settings string) (out []string) {
	settings, ok := strings.CutPrefix(strings.TrimRight(settings, "; \t\r\n"), "SET SESSION ")
	if !ok {
		return nil
	}
	from := 0
	for _, tok := range mysession.Tokens(settings) {
		if tok.Kind == mysession.Sign && tok.Text == "," && tok.Depth == 0 {
			out, from = append(out, strings.TrimSpace(settings[from:tok.From])), tok.To
		}
	}
	return append(out, strings.TrimSpace(settings[from:]))
}

// collationsOf are those that the definitions of tables, and of the database, name.
func collationsOf(entries []stream.Entry) (out []string) {
	seen := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if e.Desc != "TABLE" && e.Desc != "DATABASE" || !strings.Contains(strings.ToUpper(string(e.Defn)), "COLLATE") {
			continue
		}
		t := mysession.Tokens(string(e.Defn))
		for i := range t {
			if !t[i].Is("COLLATE") {
				continue
			}
			at := i + 1
			if at < len(t) && t[at].Kind == mysession.Sign && t[at].Text == "=" {
				at++
			}
			if at < len(t) && t[at].Kind == mysession.Word && !seen[t[at].Text] {
				seen[t[at].Text] = true
				out = append(out, t[at].Text)
			}
		}
	}
	return out
}
