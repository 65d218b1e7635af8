package validate

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// Pick returns the contents of the tables that match one of the patterns, which are pg_dump's: of schemas, and of tables with
// or without a schema. A pattern that matches nothing is a Failure of kind Usage. With no pattern it returns the contents.
func Pick(c *stream.Contents, schemas, tables []string) (*stream.Contents, error) {
	if len(schemas)+len(tables) == 0 {
		return c, nil
	}
	type pattern struct {
		flag, text   string
		schema, name *regexp.Regexp // nil for any
		hit          bool
	}
	var all []*pattern
	for i, text := range append(append([]string(nil), schemas...), tables...) {
		p := &pattern{flag: "schema", text: text}
		parts, err := parsePattern(text)
		if i >= len(schemas) {
			p.flag = "table"
		}
		switch {
		case err != nil:
			return nil, stream.Fail(stream.Usage, "--%s %q: %s", p.flag, text, err)
		case p.flag == "schema" && len(parts) == 1:
			p.schema = parts[0]
		case p.flag == "table" && len(parts) == 1:
			p.name = parts[0]
		case p.flag == "table" && len(parts) == 2:
			p.schema, p.name = parts[0], parts[1]
		default:
			return nil, stream.Fail(stream.Usage, "--%s %q has too many dots", p.flag, text).WithHint("put names with dots in double quotes")
		}
		all = append(all, p)
	}
	out := *c
	out.Tables, out.Sequences, out.Schema = nil, nil, nil
	for _, tc := range c.Tables {
		t := &tc.Table
		wanted := false
		for _, p := range all {
			if !t.LargeObjects && (p.schema == nil || p.schema.MatchString(string(t.Namespace))) && (p.name == nil || p.name.MatchString(string(t.Name))) {
				p.hit, wanted = true, true
			}
		}
		if wanted {
			out.Tables = append(out.Tables, tc)
		}
	}
	for _, p := range all {
		if !p.hit {
			return nil, stream.Fail(stream.Usage, "--%s %q matches no table that was moved", p.flag, p.text).
				WithHint("names are folded to lower case unless they are in double quotes; * stands for any characters")
		}
	}
	// The partitions that are loaded through one root compare as one.
	roots := map[stream.DumpID]int{}
	for _, tc := range out.Tables {
		roots[tc.Table.Root]++
	}
	for _, tc := range c.Tables {
		roots[tc.Table.Root]--
	}
	for _, tc := range out.Tables {
		if r := tc.Table.Root; r != 0 && roots[r] != 0 {
			return nil, stream.Fail(stream.Usage, "%s is compared with all partitions of %s, as rows may be in another partition on the target", tableName(&tc.Table), tc.Table.RootName.Display()).
				WithHint("give a pattern that matches all of them")
		}
	}
	return &out, nil
}

// parsePattern reads a pattern of names with dots between, as pg_dump does: * and ? stand for any characters and for any
// one, regular expressions' other signs for themselves as there, letters are folded, and nothing of that holds in double quotes.
func parsePattern(text string) ([]*regexp.Regexp, error) {
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
