package mytarget

import (
	"context"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// isThere looks, where an earlier process may have been ended between a definition and its ledger row, whether what the
// entry makes is there, by what the server prints of it. What is there and is another thing is an error.
// Programs hold no rows: they are dropped and made again.
func (t *Target) isThere(ctx context.Context, s *mysession.Session, e *stream.Entry) (bool, error) {
	switch e.Desc {
	case "TABLE":
		def, err := t.definition(ctx, s, string(e.Tag))
		if def == nil || err != nil {
			return false, err
		}
		wanted := string(e.Defn)
		if w, err := mysession.ParseCreateTable(wanted, e.AccessMethod != "InnoDB"); err == nil {
			wanted = w.Create // another tool's has all its keys
		}
		return t.same(e, def.Create, wanted)
	case "SEQUENCE":
		row, err := s.Row(ctx, "SHOW CREATE SEQUENCE "+mysession.Ident(string(e.Tag)))
		if mysession.Code(err) == mysession.ErrNoSuchTable || mysession.Code(err) == errNoSequence {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return t.same(e, row[1], string(e.Defn))
	case "INDEX", "FULLTEXT INDEX", "FK CONSTRAINT":
		return t.hasKeys(ctx, s, e)
	case "FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY", "VIEW", "TRIGGER", "EVENT":
		return false, s.Do(ctx, "DROP "+string(e.Desc)+" IF EXISTS "+mysession.Ident(string(e.Tag)))
	}
	return false, nil // what sets a value may set it again
}

const errNoSequence = 4091 // ER_UNKNOWN_SEQUENCES

func (t *Target) same(e *stream.Entry, there, wanted string) (bool, error) {
	if there == wanted {
		return true, nil
	}
	return false, (&stream.Failure{Kind: stream.NotResumable, Object: t.conn.Name(),
		Msg: strings.ToLower(string(e.Desc)) + " " + e.Name() + " is there, and is not what the run would make"}).
		WithHint("somebody else made or changed it; drop and create the database, then start afresh")
}

// definition is what the server prints of a table, nil where there is none.
func (t *Target) definition(ctx context.Context, s *mysession.Session, table string) (*mysession.TableDefinition, error) {
	row, err := s.Row(ctx, "SHOW CREATE TABLE "+mysession.Ident(table))
	if mysession.Code(err) == mysession.ErrNoSuchTable {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keep := false
	for _, e := range t.byID {
		if e.Desc == "TABLE" && string(e.Tag) == table {
			keep = e.AccessMethod != "InnoDB"
		}
	}
	return mysession.ParseCreateTable(mysession.TableText(row[1], t.conn.Database(), s.Version), keep)
}

// hasKeys looks for the keys that an entry adds to a table: all of them, or none.
func (t *Target) hasKeys(ctx context.Context, s *mysession.Session, e *stream.Entry) (bool, error) {
	tokens := mysession.Tokens(string(e.Defn))
	if len(tokens) < 3 || tokens[2].Kind != mysession.Name {
		return false, stream.Fail(stream.Integrity, "%s: its statement is none that adds keys", e.Name())
	}
	table := tokens[2].Text
	def, err := t.definition(ctx, s, table)
	if def == nil || err != nil {
		return false, err
	}
	keys := def.Foreign
	if e.Desc != "FK CONSTRAINT" {
		keys = nil
		for _, k := range def.Keys {
			if k.FullText == (e.Desc == "FULLTEXT INDEX") && (!k.FullText || string(e.Tag) == table+" "+k.Name) {
				keys = append(keys, k)
			}
		}
	}
	if len(keys) == 0 {
		return false, nil
	}
	return t.same(e, mysession.AddKeys(table, keys), string(e.Defn))
}
