package mysource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// What is moved is what pg_dump would take of a database of the same names, had it one schema, the database's own: docs/selection.md
// says what goes along, and what doesn't.

// matched refuses a pattern that is to take something and finds nothing. On a target what isn't there is for the comparison to tell.
func (s *Source) matched(names []string) error {
	missing := s.picks.Unmatched(names)
	if len(missing) == 0 || s.opts.Side == "validate" {
		return nil
	}
	hint := "patterns are table or database.table; letters are folded to lower case unless they are in double quotes; * stands for any characters"
	for i, m := range missing {
		missing[i] = stream.Text(m).Display()
		name := m[strings.LastIndexByte(m, '.')+1:]
		if at := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) }); at >= 0 && !slices.Contains(names, strings.ToLower(name)) {
			hint = fmt.Sprintf("letters are folded to lower case unless they are in double quotes: write --table '\"%s\"'", stream.Text(names[at]).Display())
		}
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(), Msg: "no table, view or sequence matches --table " + strings.Join(missing, ", --table ")}).WithHint("%s", hint)
}

// moves reports whether what is in a table or sequence that is moved is moved too.
func (s *Source) moves(r *relation) bool {
	return s.opts.Selection.Has(stream.Data) && s.picks.TakesRows(r.name)
}

// reads reports whether a table's rows are moved.
func (s *Source) reads(r *relation) bool { return s.moves(r) && !r.foreign }

// tellLeftOut names the tables whose rows are not moved, though section data is.
func (s *Source) tellLeftOut() {
	if s.opts.Side == "validate" || !s.opts.Selection.Has(stream.Data) {
		return
	}
	names := slices.Clone(s.leftOut)
	for _, r := range s.order {
		if r.kind == table && !s.picks.TakesRows(r.name) {
			names = append(names, r.name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		for i, n := range names {
			names[i] = stream.Text(n).Display()
		}
		s.warn("the rows of %d tables are left out, as asked: %s", len(names), stream.First(names))
	}
}

// tellDangling warns of foreign keys to tables that are not moved.
func (r *reader) tellDangling() {
	if r.s.opts.Side == "validate" || !r.s.opts.Selection.Has(stream.PostData) {
		return
	}
	for _, rel := range r.s.order {
		def := r.defs[rel.name]
		if def == nil {
			continue
		}
		for _, k := range def.Foreign {
			if (k.Database == "" || k.Database == r.s.conn.Database()) && slices.Contains(r.s.leftOut, k.References) {
				r.s.warn("foreign key %s of %s refers to %s, which is not moved: it fails where that is not on the target",
					stream.Text(k.Name).Display(), stream.Text(rel.name).Display(), stream.Text(k.References).Display())
			}
		}
	}
}
