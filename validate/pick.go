package validate

import (
	"regexp"

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
		parts, err := stream.ParsePattern(text)
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
		namespace := t.Namespace
		if namespace == "" {
			namespace = c.Header.Source.Database // of an engine whose names have no other
		}
		for _, p := range all {
			if !t.LargeObjects && (p.schema == nil || p.schema.MatchString(string(namespace))) && (p.name == nil || p.name.MatchString(string(t.Name))) {
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
