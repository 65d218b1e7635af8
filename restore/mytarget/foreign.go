package mytarget

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// checkForeign counts the rows that violate the foreign keys just added. They are added without a look at the rows,
// which takes a copy of the table else, and lets a key be moved that the source's own rows violate: such
// rows are moved like all others, and told.
func (t *Target) checkForeign(ctx context.Context, s *mysession.Session, e *stream.Entry, note string) error {
	rows, err := s.Rows(ctx, `SELECT k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME
		FROM information_schema.KEY_COLUMN_USAGE k WHERE k.TABLE_SCHEMA = DATABASE() AND k.CONSTRAINT_SCHEMA = DATABASE() AND k.TABLE_NAME = `+mysession.Literal(string(e.Tag))+`
		AND k.REFERENCED_TABLE_NAME IS NOT NULL ORDER BY k.CONSTRAINT_NAME, k.ORDINAL_POSITION`)
	if err != nil {
		return err
	}
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n][0] == rows[0][0] {
			n++
		}
		if err := t.checkKey(ctx, s, e, rows[:n], note); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// whyViolated is what is told of rows that violate a key.
func (t *Target) whyViolated() string {
	if len(t.source.Selection.Patterns()) > 0 {
		return ": the rows that they refer to were left out, or are missing on the source too"
	}
	return ", as they do on the source"
}

// checkReferred refuses a key to a table that was left out and is not there: the server would make it, and then refuse every new row.
func (t *Target) checkReferred(ctx context.Context, s *mysession.Session, e *stream.Entry) error {
	if e.Desc != "FK CONSTRAINT" || len(t.source.Selection.Patterns()) == 0 {
		return nil
	}
	for _, name := range mysession.Referred(string(e.Defn)) {
		rows, err := s.Rows(ctx, "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = "+mysession.Literal(name))
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return stream.Fail(stream.Failed, "it refers to table %s, which is not moved and not on the target", stream.Text(name).Display()).
				WithHint("move that table too, exclude this one, or give --on-error continue")
		}
	}
	return nil
}

// checkLoaded counts the rows that violate foreign keys of tables that were there before their rows: the server was told not to look.
func (t *Target) checkLoaded(ctx context.Context) error {
	for _, name := range t.filled {
		if err := t.checkForeign(ctx, t.control, &stream.Entry{Desc: "TABLE", Tag: stream.Text(name)}, ""); err != nil {
			return mysession.Explain(err, "foreign keys of table "+stream.Text(name).Display())
		}
	}
	return nil
}

// checkKey counts the rows that violate one key, given by its columns.
func (t *Target) checkKey(ctx context.Context, s *mysession.Session, e *stream.Entry, key [][]string, note string) error {
	parent := mysession.Ident(key[0][2]) + "." + mysession.Ident(key[0][3])
	var given, same []string
	for _, c := range key {
		own := "c." + mysession.Ident(c[1])
		given = append(given, own+" IS NOT NULL")
		same = append(same, "p."+mysession.Ident(c[4])+" = "+own)
	}
	name := "foreign key " + stream.Text(key[0][0]).Display() + " of table " + e.Name()
	row, err := s.Row(ctx, fmt.Sprintf("SELECT COUNT(*) FROM %s c WHERE %s AND NOT EXISTS (SELECT 1 FROM %s p WHERE %s)",
		mysession.Ident(string(e.Tag)), strings.Join(given, " AND "), parent, strings.Join(same, " AND ")))
	if mysession.Denied(err) || mysession.Code(err) == mysession.ErrNoSuchTable {
		// The table that it refers to is of another database.
		t.warn("%s: whether its rows keep to it is not known: %s", name, err)
		return nil
	}
	if err == nil && row[0] != "0" {
		t.warn("%s: %s rows violate it%s", name, row[0], note)
	}
	return err
}
