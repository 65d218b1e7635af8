package stream

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ParsePattern reads a pattern of names with dots between, as pg_dump does: * and ? stand for any characters and for any
// one, regular expressions' other signs for themselves as there, letters are folded, and nothing of that holds in double quotes.
func ParsePattern(text string) ([]*regexp.Regexp, error) {
	var parts []*regexp.Regexp
	var b strings.Builder
	end := func() error {
		r, err := regexp.Compile("(?s)^(?:" + b.String() + ")$")
		if err != nil {
			return fmt.Errorf("not a pattern")
		}
		parts = append(parts, r)
		b.Reset()
		return nil
	}
	quoted := false
	letters := []rune(text)
	for i := 0; i < len(letters); i++ {
		c := letters[i]
		switch {
		case c == '"' && quoted && i+1 < len(letters) && letters[i+1] == '"':
			b.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
			b.WriteString(regexp.QuoteMeta(string(c)))
		case c == '.':
			if err := end(); err != nil {
				return nil, err
			}
		case c == '*':
			b.WriteString(".*")
		case c == '?':
			b.WriteByte('.')
		case c == '$':
			b.WriteString(`\$`)
		case c >= 'A' && c <= 'Z':
			b.WriteRune(c + 'a' - 'A')
		default:
			b.WriteRune(c)
		}
	}
	if quoted {
		return nil, fmt.Errorf("a double quote is not closed")
	}
	if err := end(); err != nil {
		return nil, err
	}
	return parts, nil
}

// Picks are a selection's patterns where all names are of one database, as with MySQL and MariaDB: a pattern is table or database.table. A nil
// Picks takes all.
type Picks struct {
	tables, without, withoutRows []pick
}

// pick is one pattern, and what of it is for a table's name.
type pick struct {
	text string
	name *regexp.Regexp
}

// Picks takes the patterns for a database apart. A pattern that is none is a Failure of kind Usage.
func (s *Selection) Picks(database string) (*Picks, error) {
	p := &Picks{}
	for _, l := range []struct {
		flag string
		list []string
		to   *[]pick
	}{{"table", s.Tables, &p.tables}, {"exclude-table", s.ExcludeTables, &p.without}, {"exclude-table-data", s.ExcludeTableData, &p.withoutRows}} {
		for _, text := range l.list {
			parts, err := ParsePattern(text)
			if err != nil {
				return nil, Fail(Usage, "--%s %s: %s", l.flag, Text(text).Display(), err)
			}
			if len(parts) > 2 {
				return nil, Fail(Usage, "--%s %s has too many dots: table or database.table is needed", l.flag, Text(text).Display()).
					WithHint("put names with dots in double quotes")
			}
			one := pick{text: text, name: parts[len(parts)-1]}
			if len(parts) == 2 && !parts[0].MatchString(database) {
				one.name = nothing
			}
			*l.to = append(*l.to, one)
		}
	}
	return p, nil
}

// nothing matches no name.
var nothing = regexp.MustCompile(`[^\s\S]`)

func matches(list []pick, name string) bool {
	return slices.ContainsFunc(list, func(p pick) bool { return p.name.MatchString(name) })
}

// Takes reports whether a table, view or sequence is moved.
func (p *Picks) Takes(name string) bool {
	return p == nil || (len(p.tables) == 0 || matches(p.tables, name)) && !matches(p.without, name)
}

// TakesRows reports whether what is in one that is moved is moved too: a table's rows, a sequence's position.
func (p *Picks) TakesRows(name string) bool { return p == nil || !matches(p.withoutRows, name) }

// Unmatched returns the patterns of --table that match none of the names.
func (p *Picks) Unmatched(names []string) []string {
	var out []string
	if p == nil {
		return nil
	}
	for _, one := range p.tables {
		if !slices.ContainsFunc(names, one.name.MatchString) {
			out = append(out, one.text)
		}
	}
	return out
}
